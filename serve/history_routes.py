"""How the signals of a vehicle went, and how one signal goes over the fleet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import orjson
import pyarrow as pa
from fastapi import APIRouter, Path, Query, Request, Response

from pipeline.clickhouse.distribution import By, distribution
from pipeline.clickhouse.history import signal_history as stored_history
from pipeline.clickhouse.tiers import asked_of_tiers
from pipeline.errors import WarehouseAway
from pipeline.frames.body import ARROW
from pipeline.frames.schema import TIMESTAMP
from pipeline.history.cache import life_s
from serve.asked import DAY_US, AskedRange, asked_range, wants_arrow
from serve.cached_answer import ETAG, NOT_MODIFIED, Made, cached_answer
from serve.context import Context, ContextDep, From, QueryKey, To
from serve.history_models import FleetSignal, History, SeveralHistories
from serve.moments import span
from serve.problem_examples import problem_responses
from serve.vehicle_routes import VehicleId, known_vehicle, stored_as

router: Final = APIRouter(prefix="/v1")

MAX_SIGNALS: Final = 20
LIVE: Final = pa.schema(
    [
        pa.field("signal", pa.utf8()),
        pa.field("message", pa.utf8()),
        pa.field("timestamp", pa.int64()),
        pa.field("value", pa.float64()),
    ]
)
"""Points from live state, as raw ones from ClickHouse."""
_ARROW_ANSWER: Final[dict[str, Any]] = {
    "headers": ETAG,
    "content": {
        ARROW: {
            "schema": {
                "type": "string",
                "description": "An Arrow IPC stream, where `Accept` names it: the points as columns, `timestamp` as "
                "timestamp[us, UTC], and the rest of the answer as JSON in the schema's metadata under `canfleet`.",
            },
            "example": "/////8gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAA",
        }
    },
}
_RESPONSES: Final = {200: _ARROW_ANSWER} | NOT_MODIFIED | problem_responses("not-found", "warehouse-error")

SignalName = Annotated[str, Path(description="Name of a signal in the databases.", examples=["EngineSpeed"])]
Step = Annotated[
    str | None,
    Query(description="Seconds, or a span such as 10s, 5m, 1h; chosen if absent.", examples=["1m"]),
]
Message = Annotated[
    str | None,
    Query(description="Its message, where two have signals of the same name.", examples=["Engine"]),
]


@router.get(
    "/vehicles/{vehicle_id}/signals/{signal}",
    tags=["vehicles"],
    summary="A signal over time",
    response_model=History,
    responses=_RESPONSES,
)
async def signal_history(
    *,
    request: Request,
    context: ContextDep,
    key: QueryKey,
    vehicle_id: VehicleId,
    signal: SignalName,
    start: From = None,
    end: To = None,
    step: Step = None,
    message: Message = None,
) -> Response:
    """History of one signal from ClickHouse: the last hour up to now unless a range is given.

    Raw values where they are few, else at most 2,000 buckets with count, min, max, mean and last, so that no peak is
    lost; `step` is null for raw values. While ClickHouse is away the answer is `partial`: it holds the latest value,
    from live state, and says why. While only the cold volume is away, it holds what is hot, and says what is missing.
    """
    wanted = _Wanted(
        stored_as(context, key, vehicle_id), (signal,), asked_range(start, end), span(step, "step"), message
    )
    return await _history(request, context, key.fleet, wanted, {"signal": signal})


@router.get(
    "/vehicles/{vehicle_id}/signals",
    tags=["vehicles"],
    summary="Several signals over time",
    response_model=SeveralHistories,
    responses=_RESPONSES,
)
async def several_histories(
    *,
    request: Request,
    context: ContextDep,
    key: QueryKey,
    vehicle_id: VehicleId,
    signal: Annotated[
        list[str],
        Query(
            min_length=1,
            max_length=MAX_SIGNALS,
            description="Names of signals; repeat it for each.",
            examples=[["EngineSpeed", "EngineLoad"]],
        ),
    ],
    start: From = None,
    end: To = None,
    step: Step = None,
    message: Message = None,
) -> Response:
    """History of several signals at once, all in the same resolution; else as of one.

    They share the 2,000 points: of ten signals each has 200 at most.
    """
    names = tuple(dict.fromkeys(signal))
    wanted = _Wanted(stored_as(context, key, vehicle_id), names, asked_range(start, end), span(step, "step"), message)
    return await _history(request, context, key.fleet, wanted, {"signals": names})


@router.get(
    "/fleet/signals/{signal}",
    tags=["fleet"],
    summary="A signal over the fleet",
    response_model=FleetSignal,
    responses={200: {"headers": ETAG}} | NOT_MODIFIED | problem_responses("warehouse-error"),
)
async def fleet_signal(
    *,
    request: Request,
    context: ContextDep,
    key: QueryKey,
    signal: SignalName,
    start: From = None,
    end: To = None,
    message: Message = None,
    by: Annotated[
        By, Query(description="What the leading vehicles have most of; with `min`, least of.", examples=["max"])
    ] = "max",
    top: Annotated[int, Query(ge=1, le=1_000, description="So many of them.", examples=[10])] = 10,
) -> Response:
    """Distribution of one signal over all vehicles of the fleet, and those that lead: the last day unless a range is
    given.

    From whole minutes, or hours where the range is two days or more; the newest half minute may be missing.
    """
    asked = asked_range(start, end, default_us=DAY_US)

    async def make() -> Made:
        find = partial(distribution, context.platform.warehouse, key.fleet, signal)
        found = await asyncio.to_thread(
            partial(find, start=asked.since, end=asked.until, by=by, limit=top, message=message)
        )
        answer = {"signal": signal, "from": asked.since, "to": asked.until, "resolution": found.resolution}
        answer |= found.totals
        answer |= {"quantiles": found.quantiles, "histogram": found.histogram, "top": found.top}
        return Made.of(answer, asked.until)

    question = ("fleet_signal", signal, asked.given, message, by, top)
    return await cached_answer(context.cache, request, key.fleet, question, make)


@dataclass(frozen=True, slots=True)
class _Wanted:
    vehicle_id: str
    signals: tuple[str, ...]
    asked: AskedRange
    step: int | None
    message: str | None


async def _history(
    request: Request, context: Context, fleet: str, wanted: _Wanted, about: Mapping[str, object]
) -> Response:
    """The answer about the signals of `wanted`, which `about` names as the endpoint does."""
    arrow = wants_arrow(request)
    start, end = wanted.asked.since, wanted.asked.until

    async def make() -> Made:
        state = await known_vehicle(context, fleet, wanted.vehicle_id)
        answer = {"vehicle_id": wanted.vehicle_id, **about, "from": start, "to": end}
        find = partial(
            stored_history,
            fleet=fleet,
            vehicle_id=wanted.vehicle_id,
            signals=wanted.signals,
            start=start,
            end=end,
            step=wanted.step,
            message=wanted.message,
        )
        try:
            found, missing = await asyncio.to_thread(
                partial(asked_of_tiers, context.platform.warehouse, find, start=start, end=end)
            )
        except WarehouseAway as error:
            reason = f"ClickHouse is away, so only the latest value is known: {error}"
            points = pa.Table.from_pylist(live_points(state, wanted), LIVE)
            answer |= {"resolution": "raw", "step": None, "partial": True, "reason": reason}
            return _made(answer, points, 0, arrow=arrow)
        step_s = None if found.step is None else found.step / 1e6
        answer |= {"resolution": found.resolution, "step": step_s, "partial": missing is not None}
        if missing is not None:
            return _made(answer | {"reason": missing}, found.table, 0, arrow=arrow)
        return _made(answer, found.table, life_s(end, time.time_ns() // 1000, state["last_seen"]), arrow=arrow)

    question = (tuple(about), wanted.vehicle_id, wanted.signals, wanted.asked.given, wanted.step, wanted.message, arrow)
    return await cached_answer(context.cache, request, fleet, question, make)


def live_points(state: Mapping[str, Any], wanted: _Wanted) -> list[dict[str, Any]]:
    """What live state knows of the history: the signals' latest values, those that lie within the range."""
    return [
        {"signal": one["signal"], "message": one["message"], "timestamp": one["timestamp"], "value": one["value"]}
        for one in state["signals"]
        if one["signal"] in wanted.signals
        and wanted.message in (None, one["message"])
        and wanted.asked.since <= one["timestamp"] < wanted.asked.until
    ]


def _made(answer: Mapping[str, Any], points: pa.Table, life: float, *, arrow: bool) -> Made:
    """The answer with its points, as JSON or as an Arrow stream."""
    if not arrow:
        return Made(orjson.dumps({**answer, "points": points.to_pylist()}), life)
    at = points.column_names.index("timestamp")
    points = points.set_column(at, "timestamp", points["timestamp"].cast(TIMESTAMP))
    points = points.replace_schema_metadata({"canfleet": orjson.dumps(answer)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, points.schema) as writer:
        writer.write_table(points)
    return Made(sink.getvalue().to_pybytes(), life, ARROW)
