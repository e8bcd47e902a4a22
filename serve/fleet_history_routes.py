"""A signal of a whole fleet over time."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from pipeline.clickhouse.fleet_history import fleet_history
from pipeline.clickhouse.resolution import in_words
from serve.asked import DAY_US, asked_range
from serve.cached_answer import ETAG, NOT_MODIFIED, Made, cached_answer
from serve.context import ContextDep, From, QueryKey, To
from serve.history_models import OfRange
from serve.history_routes import Message, SignalName, Step
from serve.models import Answer, Microseconds
from serve.moments import span
from serve.problem_examples import problem_responses

router: Final = APIRouter(prefix="/v1", tags=["fleet"])


class FleetPoint(Answer):
    """One step of a signal, over all vehicles."""

    timestamp: Microseconds = Field(description="Begin of the step.")
    count: int = Field(examples=[180_000_000])
    min: float = Field(examples=[640.0])
    max: float = Field(examples=[6120.5])
    mean: float = Field(examples=[1432.8])


class FleetHistory(OfRange):
    """A signal over time, of all vehicles of the fleet together. A step without values is left out."""

    signal: str = Field(examples=["EngineSpeed"])
    resolution: str = Field(description="The step in words: an hour, or more.", examples=["1h"])
    step: float = Field(description="The step in seconds.", examples=[3600.0])
    points: list[FleetPoint]


@router.get(
    "/fleet/signals/{signal}/history",
    summary="A signal of the fleet over time",
    response_model=FleetHistory,
    responses={200: {"headers": ETAG}} | NOT_MODIFIED | problem_responses("warehouse-error"),
)
async def fleet_signal_history(
    *,
    request: Request,
    context: ContextDep,
    key: QueryKey,
    signal: SignalName,
    start: From = None,
    end: To = None,
    step: Step = None,
    message: Message = None,
) -> Response:
    """One signal over all vehicles of the fleet, by hours or longer steps: the last 30 days unless a range is given.

    Every finite value counts; the newest half minute may be missing.
    """
    asked, wanted = asked_range(start, end, default_us=30 * DAY_US), span(step, "step")

    async def make() -> Made:
        find = partial(fleet_history, context.platform.warehouse, key.fleet, signal)
        chosen, points = await asyncio.to_thread(
            partial(find, start=asked.since, end=asked.until, step=wanted, message=message)
        )
        answer = {"signal": signal, "from": asked.since, "to": asked.until}
        return Made.of(answer | {"resolution": in_words(chosen), "step": chosen / 1e6, "points": points}, asked.until)

    question = ("fleet_history", signal, asked.given, wanted, message)
    return await cached_answer(context.cache, request, key.fleet, question, make)
