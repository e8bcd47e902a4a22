"""Vehicles: which there are, how they are now, and what they lost on the way."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from pipeline.keys.record import KeyRecord
from serve.answers import json_answer
from serve.cached_answer import ETAG, NOT_MODIFIED, Made, cached_answer
from serve.context import Context, ContextDep, QueryKey
from serve.models import Gaps, Latest, Vehicles
from serve.problem_examples import problem_responses
from serve.problems import Problem, ProblemError, not_found

router: Final = APIRouter(prefix="/v1/vehicles", tags=["vehicles"])

VehicleId = Annotated[
    str, Path(min_length=1, max_length=64, description="Id of a vehicle of the key's fleet.", examples=["truck-7"])
]


@router.get(
    "",
    summary="Known vehicles",
    response_model=Vehicles,
    responses={200: {"headers": ETAG}, **NOT_MODIFIED},
)
async def list_vehicles(request: Request, context: ContextDep, key: QueryKey) -> Response:
    """Known vehicles of the key's fleet, with the newest event time and the number of frames of each.

    An answer is given again for half a second, unless the request says `Cache-Control: no-cache`.
    """

    async def make() -> Made:
        return Made.live({"vehicles": await context.platform.vehicles(key.fleet)})

    return await cached_answer(context.cache, request, key.fleet, "vehicles", make)


@router.get(
    "/{vehicle_id}/latest",
    summary="A vehicle as it is now",
    response_model=Latest,
    responses=problem_responses("not-found"),
)
async def latest_values(context: ContextDep, key: QueryKey, vehicle_id: VehicleId) -> Response:
    """Latest value of every signal of a vehicle, with its sliding window, from live state."""
    return json_answer(await known_vehicle(context, key.fleet, stored_as(context, key, vehicle_id)))


@router.get(
    "/{vehicle_id}/gaps",
    summary="Frames that never came",
    response_model=Gaps,
    responses=problem_responses("not-found"),
)
async def sequence_gaps(context: ContextDep, key: QueryKey, vehicle_id: VehicleId) -> Response:
    """Frames that the vehicle counted and that never came, by session: lost before they reached us, or still to come.

    Of vehicles that send a session and a sequence. The eight highest session numbers are told apart.
    """
    vehicle_id = stored_as(context, key, vehicle_id)
    found = await context.platform.gaps(key.fleet, vehicle_id)
    if found is None:
        raise ProblemError(_unknown(key.fleet, vehicle_id))
    return json_answer(found)


def stored_as(context: Context, key: KeyRecord, vehicle_id: str) -> str:
    """The name that a vehicle is stored under, from that name or its own id."""
    return context.platform.pseudonyms.of(key.fleet, vehicle_id)


async def known_vehicle(context: Context, fleet: str, vehicle_id: str) -> dict[str, Any]:
    """Live state of a vehicle of `fleet`; another fleet's vehicle is as unknown as one that never was.

    Raises:
        ProblemError: 404, there is none.
    """
    state = await context.platform.latest(fleet, vehicle_id)
    if state is None:
        raise ProblemError(_unknown(fleet, vehicle_id))
    return state


def _unknown(fleet: str, vehicle_id: str) -> Problem:
    return not_found(f"fleet `{fleet}` has no vehicle `{vehicle_id}`")
