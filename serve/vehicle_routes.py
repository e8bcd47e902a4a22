"""Vehicles: which there are, how they are now, and how a signal went."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response

from pipeline.clickhouse.queries import Queries
from pipeline.errors import WarehouseAway
from serve.answers import json_answer
from serve.context import ContextDep, From, QueryKey, To
from serve.models import Gaps, History, Latest, Vehicles
from serve.moments import moment, span
from serve.problems import Problem, ProblemError, bad_request, not_found

router: Final = APIRouter(prefix="/v1/vehicles", tags=["vehicles"])

DEFAULT_RANGE_US: Final = 3_600_000_000

VehicleId = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("", response_model=Vehicles)
async def list_vehicles(context: ContextDep, key: QueryKey) -> Response:
    """Known vehicles of the key's fleet, with the newest event time and the number of frames of each."""
    return json_answer({"vehicles": await context.platform.vehicles(key.fleet)})


@router.get("/{vehicle_id}/latest", response_model=Latest)
async def latest(context: ContextDep, key: QueryKey, vehicle_id: VehicleId) -> Response:
    """Latest value of every signal of a vehicle, with its sliding window, from live state."""
    return json_answer(await _known(context, key.fleet, vehicle_id))


@router.get("/{vehicle_id}/gaps", response_model=Gaps)
async def gaps(context: ContextDep, key: QueryKey, vehicle_id: VehicleId) -> Response:
    """Frames that the vehicle counted and that never came, by session: lost before they reached us, or still to come.

    Of vehicles that send a session and a sequence. The eight highest session numbers are told apart.
    """
    found = await context.platform.gaps(key.fleet, vehicle_id)
    if found is None:
        raise ProblemError(_unknown(key.fleet, vehicle_id))
    return json_answer(found)


@router.get("/{vehicle_id}/signals/{signal}", response_model=History)
async def history(
    *,
    context: ContextDep,
    key: QueryKey,
    vehicle_id: VehicleId,
    signal: str,
    start: From = None,
    end: To = None,
    step: Annotated[str | None, Query(description="Seconds, or a span such as 10s, 5m, 1h; chosen if absent.")] = None,
    message: Annotated[str | None, Query(description="Its message, where two have signals of the same name.")] = None,
) -> Response:
    """History of one signal from ClickHouse: the last hour up to now unless a range is given.

    Raw values where they are few, else buckets with count, min, max, mean and last; `step` is null for raw values.
    While ClickHouse is away the answer is `partial`: it holds the latest value, from live state, and says why.
    """
    until = moment(end, "to")
    until = time.time_ns() // 1000 if until is None else until
    since = moment(start, "from")
    since = max(0, until - DEFAULT_RANGE_US) if since is None else since
    if since >= until:
        raise ProblemError(bad_request("`from` must lie before `to`"))
    wanted = span(step, "step")
    state = await _known(context, key.fleet, vehicle_id)
    find = partial(Queries(context.platform.warehouse).signal_history, key.fleet, vehicle_id, [signal])
    answer: dict[str, Any] = {"vehicle_id": vehicle_id, "signal": signal, "from": since, "to": until}
    try:
        found = await asyncio.to_thread(partial(find, start=since, end=until, step=wanted, message=message))
    except WarehouseAway as error:
        reason = f"ClickHouse is away, so only the latest value is known: {error}"
        points = live_points(state, signal, message, since, until)
        return json_answer(
            answer | {"resolution": "raw", "step": None, "points": points, "partial": True, "reason": reason}
        )
    step_s = None if found.step is None else found.step / 1e6
    return json_answer(
        answer | {"resolution": found.resolution, "step": step_s, "points": found.points, "partial": False}
    )


def live_points(
    state: dict[str, Any], signal: str, message: str | None, since: int, until: int
) -> list[dict[str, Any]]:
    """What live state knows of a signal's history: its latest value, if that lies within `[since, until)`."""
    return [
        {"signal": signal, "message": one["message"], "timestamp": one["timestamp"], "value": one["value"]}
        for one in state["signals"]
        if one["signal"] == signal and message in (None, one["message"]) and since <= one["timestamp"] < until
    ]


async def _known(context: ContextDep, fleet: str, vehicle_id: str) -> dict[str, Any]:
    """Live state of a vehicle of `fleet`; another fleet's vehicle is as unknown as one that never was."""
    state = await context.platform.latest(fleet, vehicle_id)
    if state is None:
        raise ProblemError(_unknown(fleet, vehicle_id))
    return state


def _unknown(fleet: str, vehicle_id: str) -> Problem:
    return not_found(f"fleet `{fleet}` has no vehicle `{vehicle_id}`")
