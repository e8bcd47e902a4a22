"""Reconciliation: the ledger against what ClickHouse holds, and the first difference in words.

The ledger is read before ClickHouse is counted and once more behind it, so that frames which come and are stored
meanwhile explain themselves: of an hour's frames, ClickHouse must have those that were stored before and at most those
that are accepted after, in both cases without those of vehicles that were forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.clickhouse.hourly_counts import HourlyCounts
from pipeline.clickhouse.settings import RetentionSettings
from pipeline.shard.ledger import HOURS_KEPT, Tally

_NONE: Final = Tally().as_dict()


def comparable_from(now: int, complete_from: int, retention: RetentionSettings, fleet: str) -> int:
    """The first hour of which both sides still know everything.

    Args:
        now: the present hour since the epoch.
        complete_from: from the ledger, see `Ledger.by_hour`.
        retention: rows stay this many days from the day they were stored, which is not before they were received.
        fleet: whose rows.
    """
    kept = [retention.days_of(kind, fleet) for kind in ("frames", "signals", "signals_1m", "signals_1h")]
    return max([complete_from, now - HOURS_KEPT + 1, *(now - 24 * (days - 1) for days in kept if days is not None)])


def first_difference(before: Mapping[str, Any], after: Mapping[str, Any], counts: HourlyCounts) -> str | None:
    """The first thing that ledger and ClickHouse disagree about, in one line; None where they agree.

    Args:
        before: the fleet's ledger as `merged` gives it, with the hours that are counted, read before counting.
        after: the same, read after counting.
        counts: what ClickHouse holds.
    """
    return next(_differences(before, after, counts), None)


def settled(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether nothing came and nothing waited while ClickHouse was counted: then the rollups must be exact."""
    quiet = before["pending"] == after["pending"] == 0 and before["received"] == after["received"]
    return quiet and not before["rollups_waiting"]


def hour_text(hour: int) -> str:
    """An hour since the epoch in RFC 3339."""
    return datetime.fromtimestamp(3600 * hour, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], counts: HourlyCounts) -> Iterator[str]:
    for hour in sorted(before["hours"].keys() | after["hours"].keys() | counts.frames.keys()):
        found = counts.frames.get(hour, 0)
        first, last = before["hours"].get(hour, _NONE), after["hours"].get(hour, _NONE)
        stored, accepted = first["stored"], last["accepted"]
        # Counted before they are removed: in between, they may be there or not.
        gone, perhaps_there = last["forgotten"], 0 if before.get("forgetting") else first["forgotten"]
        if not stored - gone <= found <= accepted - perhaps_there:
            forgotten = f", of which {gone:,} forgotten" if gone else ""
            yield (
                f"frames received in the hour {hour_text(hour)}: ClickHouse has {found:,}, the ledger "
                f"{stored:,} stored and {accepted - stored:,} pending{forgotten}"
            )
    if counts.doubled is not None:
        vehicle, extra = counts.doubled
        yield f"frames of vehicle {vehicle}: {extra:,} are in ClickHouse a second time"
    for hour, found in sorted(counts.dead_letters.items()):
        known = after["hours"].get(hour, _NONE)["dead_lettered"]
        if found > known:
            yield (
                f"dead letters received in the hour {hour_text(hour)}: ClickHouse has {found:,}, the ledger knows "
                f"{known:,}"
            )
    if any(one.get("forgetting") for one in (before, after)) or before["forgotten"] != after["forgotten"]:
        # Values and rollups are not removed in one moment.
        return
    exact = settled(before, after)
    for table, rolled_up in (("signals_1m", counts.minutes), ("signals_1h", counts.hours)):
        for hour in sorted(counts.values.keys() | rolled_up.keys()):
            values, found = counts.values.get(hour, 0), rolled_up.get(hour, 0)
            if found > values or (exact and found < values):
                yield f"values of the hour {hour_text(hour)}: {table} counts {found:,}, signals has {values:,} finite"
