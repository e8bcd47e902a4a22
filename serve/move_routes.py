"""Moving a shard to another partition actor by hand, for the bootstrap key: shards hold the vehicles of every fleet."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field

from serve.answers import json_answer
from serve.context import AdminKey, ContextDep
from serve.models import Answer, Asked
from serve.problem_examples import problem_responses
from serve.problems import ProblemError, not_found, not_the_operator

router: Final = APIRouter(prefix="/v1", tags=["operation"])

_MOST: Final = (1 << 31) - 1


class MoveRequest(Asked):
    """Where a shard shall go."""

    actor: int = Field(ge=0, le=_MOST, description="Number of a partition actor.", examples=[1])


class Move(Answer):
    """A move that was asked for."""

    shard: int = Field(examples=[3])
    held_by: int = Field(description="The actor that holds it as yet.", examples=[0])
    goes_to: int = Field(description="The actor that will hold it, in a moment.", examples=[1])


@router.post(
    "/shards/{shard}/move",
    summary="Move a shard to another partition actor",
    status_code=202,
    response_description="It will be moved; `GET /v1/status` says where it is.",
    response_model=Move,
    responses=problem_responses("every-fleet", "not-found", "overloaded"),
)
async def move_shard(
    context: ContextDep,
    key: AdminKey,
    shard: Annotated[int, Path(ge=0, le=_MOST, description="Number of the shard.", examples=[3])],
    wanted: MoveRequest,
) -> Response:
    """Move a shard. Frames for its vehicles wait for a moment, or get 503 with `Retry-After`.

    Where numbers of actors follow the load, a later look may move it again.
    """
    if not key.is_bootstrap:
        raise ProblemError(not_the_operator("A shard holds vehicles of all fleets"))
    holder = await context.platform.request_move(shard, wanted.actor)
    if holder is None:
        raise ProblemError(not_found(f"there is no shard {shard}, or no partition actor {wanted.actor}"))
    return json_answer({"shard": shard, "held_by": holder, "goes_to": wanted.actor}, 202)
