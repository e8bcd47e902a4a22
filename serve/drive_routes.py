"""A vehicle's trips, and what it did at the geofences."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response

from pipeline.clickhouse.geofences import fence_events
from pipeline.clickhouse.trips import find_trips
from pipeline.history.drive import Drive
from serve.asked import DAY_US, asked_range
from serve.cached_answer import ETAG, NOT_MODIFIED, Made, cached_answer
from serve.context import ContextDep, From, QueryKey, To
from serve.history_models import GeofencesAnswer, TripsAnswer
from serve.problem_examples import problem_responses
from serve.vehicle_routes import VehicleId, known_vehicle, stored_as

router: Final = APIRouter(prefix="/v1/vehicles", tags=["vehicles"])

MOST_US: Final = 31 * DAY_US
"""Every sample of the range is read."""
_RESPONSES: Final = {200: {"headers": ETAG}} | NOT_MODIFIED | problem_responses("not-found", "warehouse-error")


@router.get("/{vehicle_id}/trips", summary="Trips of a vehicle", response_model=TripsAnswer, responses=_RESPONSES)
async def vehicle_trips(
    *,
    request: Request,
    context: ContextDep,
    key: QueryKey,
    vehicle_id: VehicleId,
    start: From = None,
    end: To = None,
) -> Response:
    """Trips that touch a range of at most 31 days: the last day unless one is given.

    Which signals mean ignition, speed and position says `history.signals` in the configuration; a trip ends where the
    vehicle stands for longer than `history.trips.pause_s`.
    """
    asked = asked_range(start, end, default_us=DAY_US, most_us=MOST_US)
    vehicle_id = stored_as(context, key, vehicle_id)
    settings = context.platform.config.history

    async def make() -> Made:
        state = await known_vehicle(context, key.fleet, vehicle_id)
        drive = Drive.of(state["signals"], settings.signals)
        find = partial(find_trips, context.platform.warehouse, key.fleet, vehicle_id, drive, settings.trips)
        found = await asyncio.to_thread(partial(find, start=asked.since, end=asked.until))
        trips = [trip | {"duration_s": (trip["end"] - trip["start"]) / 1e6} for trip in found.trips]
        answer = {
            "vehicle_id": vehicle_id,
            "from": asked.since,
            "to": asked.until,
            "told_by": found.told_by,
            "distance_by": found.distance_by,
            "trips": trips,
            "complete": found.complete,
        }
        return Made.of(answer, asked.until, state["last_seen"])

    return await cached_answer(context.cache, request, key.fleet, ("trips", vehicle_id, asked.given), make)


@router.get(
    "/{vehicle_id}/geofences",
    summary="Entering and leaving geofences",
    response_model=GeofencesAnswer,
    responses=_RESPONSES,
)
async def vehicle_geofences(
    *,
    request: Request,
    context: ContextDep,
    key: QueryKey,
    vehicle_id: VehicleId,
    start: From = None,
    end: To = None,
) -> Response:
    """When a vehicle entered and left the fences of `history.geofences` that are for its fleet.

    In a range of at most 31 days: the last day unless one is given. It has left once it is farther out than the fence's
    margin.
    """
    asked = asked_range(start, end, default_us=DAY_US, most_us=MOST_US)
    vehicle_id = stored_as(context, key, vehicle_id)
    settings = context.platform.config.history

    async def make() -> Made:
        state = await known_vehicle(context, key.fleet, vehicle_id)
        drive = Drive.of(state["signals"], settings.signals)
        fences = settings.fences_of(key.fleet)
        find = partial(fence_events, context.platform.warehouse, key.fleet, vehicle_id, drive, fences)
        found = await asyncio.to_thread(partial(find, start=asked.since, end=asked.until))
        answer = {
            "vehicle_id": vehicle_id,
            "from": asked.since,
            "to": asked.until,
            "fences": sorted(fences),
            "inside_at_start": found.inside_at_start,
            "events": found.events,
            "complete": found.complete,
        }
        return Made.of(answer, asked.until, state["last_seen"])

    return await cached_answer(context.cache, request, key.fleet, ("geofences", vehicle_id, asked.given), make)
