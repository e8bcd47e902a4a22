"""The ledger: where every frame went, by hour, and whether ClickHouse agrees."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from fastapi import APIRouter, Response

from pipeline.clickhouse.hourly_counts import hourly_counts
from pipeline.shard.ledger import HOUR_US
from pipeline.shard.reconciliation import comparable_from, first_difference, hour_text, settled
from serve.answers import json_answer
from serve.context import ContextDep, From, OperatorKey, QueryKey, To
from serve.models import LedgerAnswer, Reconciliation
from serve.moments import LATEST_US, moment
from serve.problem_examples import problem_responses
from serve.problems import ProblemError, bad_request

router: Final = APIRouter(prefix="/v1/ledger", tags=["fleet"])

DEFAULT_HOURS: Final = 24
"""How far back a reconciliation reaches unless it is told."""
_INNER: Final = {"complete_from", "rollups_waiting", "forgetting"}


@router.get("", summary="Where every frame went", response_model=LedgerAnswer)
async def fleet_ledger(context: ContextDep, key: QueryKey, start: From = None, end: To = None) -> Response:
    """What became of every frame the fleet sent: received = accepted + duplicates + dead_lettered, accepted = stored +
    pending; in all, and by the hour (UTC) in which the frames were received, of the last 31 days or the range given."""
    since, until = _hours(start, end, 0, -(-LATEST_US // HOUR_US))
    return json_answer(ledger_answer(await context.platform.ledger(key.fleet, since, until)))


@router.get(
    "/reconciliation",
    tags=["operation"],
    summary="Ledger against ClickHouse",
    response_model=Reconciliation,
    responses=problem_responses("warehouse-error"),
)
async def reconcile_ledger(context: ContextDep, key: OperatorKey, start: From = None, end: To = None) -> Response:
    """Compare the fleet's ledger with counts in ClickHouse, hour by hour, and name the first difference.

    Frames, identities and dead letters by hour of receipt, rollups by hour of event time; the last 24 hours unless a
    range is given, and never further back than both sides still know everything. Reads much: not for every minute.
    """
    platform = context.platform
    now = time.time_ns() // 1000 // HOUR_US
    since, until = _hours(start, end, now - DEFAULT_HOURS + 1, now + 1)
    before = await platform.ledger(key.fleet, since, until)
    since = max(since, comparable_from(now, before["complete_from"], platform.warehouse.settings.retention, key.fleet))
    until = max(since, until)
    before["hours"] = {hour: counts for hour, counts in before["hours"].items() if hour >= since}
    counts = await asyncio.to_thread(hourly_counts, platform.warehouse, key.fleet, since, until)
    after = await platform.ledger(key.fleet, since, until)
    difference = first_difference(before, after, counts)
    return json_answer(
        {
            "fleet": key.fleet,
            "from": hour_text(since),
            "to": hour_text(until),
            "agrees": difference is None,
            "difference": difference,
            "frames": sum(counts.frames.values()),
            "settled": settled(before, after),
        }
    )


def ledger_answer(document: dict[str, Any]) -> dict[str, Any]:
    """A ledger as the API shows it, from `Platform.ledger`."""
    shown = {name: value for name, value in document.items() if name not in _INNER}
    return shown | {"hours": [{"hour": hour_text(hour), **counts} for hour, counts in document["hours"].items()]}


def _hours(start: str | None, end: str | None, first: int, last: int) -> tuple[int, int]:
    """The hours since the epoch that the range touches, `last` excluded.

    Raises:
        ProblemError: 400, an end that is no moment, or a range that is empty.
    """
    since, until = moment(start, "from"), moment(end, "to")
    hours = first if since is None else since // HOUR_US, last if until is None else -(-until // HOUR_US)
    if hours[0] >= hours[1] or (since is not None and until is not None and since >= until):
        raise ProblemError(bad_request("`from` must lie before `to`"))
    return hours
