"""Answers while the cold volume is away: from the hot one alone, with words for what is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.retention import KINDS
from pipeline.clickhouse.storage import cold_disks
from pipeline.errors import WarehouseUnreadable

T = TypeVar("T")

# Partitions follow event time, so parts know theirs without a look at their disk.
_MISSING: Final = """
    SELECT
        table,
        greatest(toInt64(toUnixTimestamp(min(min_time))), toInt64({start:Float64})) AS first,
        least(toInt64(toUnixTimestamp(max(max_time))) + 1, toInt64({end:Float64})) AS last
    FROM system.parts
    WHERE database = currentDatabase() AND active AND rows > 0
        AND disk_name IN {disks:Array(String)}
        AND table IN {tables:Array(String)}
        AND toUnixTimestamp(min_time) < {end:Float64} AND toUnixTimestamp(max_time) + 1 > {start:Float64}
    GROUP BY table ORDER BY table
"""


def asked_of_tiers(
    warehouse: Warehouse, ask: Callable[[Warehouse], T], *, start: int, end: int
) -> tuple[T, str | None]:
    """What `ask` finds, and what is missing from it, in words; None: nothing is.

    Where the cold volume cannot be read, `ask` is called once more with a warehouse that has the hot one alone.

    Args:
        warehouse: to ask.
        ask: reads, and may be called twice.
        start, end: range of event time that it reads, microseconds.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`; WarehouseUnreadable where it is not the cold volume's fault.
    """
    try:
        return ask(warehouse), None
    except WarehouseUnreadable:
        disks = cold_disks(warehouse)
        if not disks:
            raise
        found = ask(warehouse.without(disks, list(KINDS)))
        return found, missing_in_words(warehouse, disks, start, end)


def missing_in_words(warehouse: Warehouse, disks: list[str], start: int, end: int) -> str:
    """Which part of the range [start, end) (µs) is cold, by table. O(parts); reads no disk."""
    bound = {"disks": disks, "tables": list(KINDS), "start": start / 1e6, "end": end / 1e6}
    rows = warehouse.rows(_MISSING, bound)
    parts = ", ".join(f"{KINDS[row['table']]} from {_moment(row['first'])} to {_moment(row['last'])}" for row in rows)
    return f"the cold volume does not answer, so only hot data are here; away: {parts or 'nothing of this range'}"


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
