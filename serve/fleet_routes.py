"""The fleet as a whole: numbers, anomalies, live feed, and the platform's own state."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from pipeline.clickhouse.queries import Queries
from pipeline.errors import PartitionAway, WarehouseAway
from pipeline.history.cache import AnswerCache
from pipeline.shard.ledger import HOUR_US
from serve.answers import NO_STORE, json_answer
from serve.context import ContextDep, From, OperatorKey, QueryKey, To
from serve.ledger_routes import ledger_answer
from serve.live import event
from serve.models import Anomalies, FleetSummary, PlatformState
from serve.moments import LATEST_US, moment
from serve.problem_examples import problem_responses
from serve.problems import ProblemError, bad_request

router: Final = APIRouter(prefix="/v1", tags=["fleet"])

MAX_ANOMALIES: Final = 10_000
_STATUS_HOURS: Final = 6
_VERSION: Final = version("canfleet")

_OF_ANY_FLEET: Final = {"shard", "error", "actor", "breaker"}


@router.get("/fleet/summary", summary="The fleet in numbers", response_model=FleetSummary)
async def fleet_summary(context: ContextDep, key: QueryKey) -> Response:
    """The key's fleet in numbers."""
    return json_answer(await context.platform.summary(key.fleet))


@router.get(
    "/anomalies",
    summary="Anomalies of the fleet",
    response_model=Anomalies,
    responses=problem_responses("warehouse-error"),
)
async def list_anomalies(
    *,
    context: ContextDep,
    key: QueryKey,
    vehicle_id: Annotated[
        str | None, Query(max_length=64, description="Of this vehicle alone.", examples=["truck-7"])
    ] = None,
    kind: Annotated[str | None, Query(max_length=64, description="Of this kind alone.", examples=["stuck"])] = None,
    start: From = None,
    end: To = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ANOMALIES, description="The newest so many.", examples=[100])] = 1000,
) -> Response:
    """Anomalies by event time, newest first: those still in memory and those in ClickHouse, each once."""
    since, until = moment(start, "from"), moment(end, "to")
    if since is not None and until is not None and since >= until:
        raise ProblemError(bad_request("`from` must lie before `to`"))
    if vehicle_id is not None:
        vehicle_id = context.platform.pseudonyms.of(key.fleet, vehicle_id)
    live = await context.platform.anomalies(
        key.fleet, vehicle_id=vehicle_id, kind=kind, start=since, end=until, limit=limit
    )
    reason: str | None = None
    stored: list[dict[str, Any]] = []
    try:
        find = partial(Queries(context.platform.warehouse).anomalies, vehicle_id=vehicle_id, kind=kind, limit=limit)
        latest = LATEST_US if until is None else until
        stored = await asyncio.to_thread(find, key.fleet, start=since or 0, end=latest)
    except WarehouseAway as error:
        reason = f"ClickHouse is away, so only anomalies still in memory are listed: {error}"
    answer: dict[str, Any] = {"anomalies": merge(live, stored, limit), "partial": reason is not None}
    return json_answer(answer | ({"reason": reason} if reason else {}))


@router.get(
    "/live",
    summary="The fleet as it happens",
    responses={
        200: {
            "description": "Events `summary`, each second, and `anomaly`, as it happens; comments keep the line alive.",
            "content": {
                "text/event-stream": {
                    "schema": {"description": "Server-sent events, each with JSON as its data."},
                    "example": 'event: anomaly\ndata: {"vehicle_id": "truck-7", "kind": "stuck"}\n\n',
                }
            },
        }
    },
    response_class=StreamingResponse,
)
async def live_feed(context: ContextDep, key: QueryKey) -> Response:
    """The fleet as it happens, as server-sent events.

    A browser's EventSource cannot send a key, and a key in the address ends in logs: read this with
    `fetch` and the Authorization header, as the dashboard page does.
    """
    first = event("summary", await context.platform.summary(key.fleet))
    headers = NO_STORE | {"X-Accel-Buffering": "no"}
    return StreamingResponse(context.live.stream(key.fleet, first), headers=headers, media_type="text/event-stream")


@router.get("/status", tags=["operation"], summary="Health of the platform", response_model=PlatformState)
async def platform_status(context: ContextDep, key: OperatorKey) -> Response:
    """Health, partitions and lags of the platform, and the ledger, with its last hours, and dead letters of a fleet.

    Sizes and lags of the shards and the cache of answers, which tell of other fleets, are for the bootstrap key. The
    ledger is null while a shard is away, which then has an `error`, and a `breaker` that is not closed.
    """
    since = time.time_ns() // 1000 // HOUR_US - _STATUS_HOURS + 1
    state, of_fleet, dead_letters = await asyncio.gather(
        context.platform.status(),
        _whole_ledger(context, key.fleet, since),
        context.intake.room.state(key.fleet),
    )
    if not key.is_bootstrap:
        state = state | {"shards": [_of_any_fleet(shard) for shard in state["shards"]]}
    cache = _of_cache(context.cache) if key.is_bootstrap else None
    mine = {"ledger": of_fleet, "dead_letters": dead_letters, "history_cache": cache, "version": _VERSION}
    return json_answer(state | mine | {"operator": key.is_bootstrap})


def _of_cache(cache: AnswerCache) -> dict[str, Any]:
    looked = cache.hits + cache.misses
    rate = cache.hits / looked if looked else None
    counts = {"hits": cache.hits, "misses": cache.misses, "hit_rate": rate}
    return counts | {"answers": len(cache), "bytes": cache.bytes, "max_bytes": cache.max_bytes}


def _of_any_fleet(shard: dict[str, Any]) -> dict[str, Any]:
    """What a shard tells anybody: how busy it is tells of other fleets, and ClickHouse's words can quote their rows."""
    refused = shard.get("warehouse_error") is not None
    told = {name: shard[name] for name in shard.keys() & _OF_ANY_FLEET}
    return told | {"warehouse_error": "ClickHouse takes nothing at present" if refused else None}


async def _whole_ledger(context: ContextDep, fleet: str, since: int) -> dict[str, Any] | None:
    """The fleet's ledger, or None while a shard is away: what the others know of it would be wrong sums."""
    try:
        return ledger_answer(await context.platform.ledger(fleet, since))
    except PartitionAway:
        return None


def merge(live: list[dict[str, Any]], stored: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Both lists, newest first, each anomaly once by its id. O(n log n).

    The live one wins, since it knows a duration that still grows.
    """
    by_id = {anomaly["id"]: anomaly for anomaly in [*stored, *live]}
    return sorted(by_id.values(), key=lambda anomaly: anomaly["timestamp"], reverse=True)[:limit]
