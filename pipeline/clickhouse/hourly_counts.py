"""What ClickHouse holds of a fleet, counted by hour, to be compared with the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.resolution import HOUR

_RANGE: Final = """
    fleet = {fleet:String}
    AND t.received_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
    AND t.received_at < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""
_EVENT_RANGE: Final = _RANGE.replace("received_at", "timestamp")
_BY_RECEIPT: Final = f"""
    SELECT intDiv(toUnixTimestamp64Micro(t.received_at), {HOUR}) AS hour, count() AS n
    FROM {{table:Identifier}} AS t WHERE {_RANGE} GROUP BY hour
"""
# Vehicle by vehicle in the order of the sort key: one set of all identities would take gigabytes.
_DOUBLED: Final = f"""
    SELECT
        vehicle_id,
        count() - uniqExact(session, sequence)
            - uniqExactIf(t.timestamp, channel, arbitration_id, data, sequence IS NULL) AS n
    FROM frames AS t WHERE {_RANGE}
    GROUP BY vehicle_id HAVING n > 0 ORDER BY vehicle_id LIMIT 1
    SETTINGS optimize_aggregation_in_order = 1
"""
_VALUES: Final = f"""
    SELECT intDiv(toUnixTimestamp64Micro(t.timestamp), {HOUR}) AS hour, countIf(isFinite(value)) AS n
    FROM signals AS t WHERE {_EVENT_RANGE} GROUP BY hour
"""
_ROLLED_UP: Final = f"""
    SELECT intDiv(toInt64(toUnixTimestamp(t.timestamp)) * 1000000, {HOUR}) AS hour, sum(t.count) AS n
    FROM {{table:Identifier}} AS t
    WHERE fleet = {{fleet:String}}
        AND t.timestamp >= toDateTime(intDiv({{start:Int64}}, 1000000), 'UTC')
        AND t.timestamp < toDateTime(intDiv({{end:Int64}}, 1000000), 'UTC')
    GROUP BY hour
"""


@dataclass(frozen=True, slots=True)
class HourlyCounts:
    """Rows by hour since the epoch; an hour without any is left out.

    Attributes:
        frames: by hour of receipt.
        doubled: the first vehicle with a frame stored more than once among these, and how many too many; else None.
        dead_letters: by hour of receipt.
        values: finite signal values, by hour of event time.
        minutes: the values that the rollup by minutes counts, by hour of event time.
        hours: those that the rollup by hours counts.
    """

    frames: dict[int, int]
    doubled: tuple[str, int] | None
    dead_letters: dict[int, int]
    values: dict[int, int]
    minutes: dict[int, int]
    hours: dict[int, int]


def hourly_counts(warehouse: Warehouse, fleet: str, start: int, end: int) -> HourlyCounts:
    """Count the hours `start <= hour < end` since the epoch.

    Reads a few columns of all the fleet's rows in the weeks concerned, since no table is sorted by time alone. The
    rollups are read before the values they follow, hours before minutes, so that they never seem to be ahead.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    bound = {"fleet": fleet, "start": start * HOUR, "end": end * HOUR}

    def by_hour(sql: str, table: str) -> dict[int, int]:
        return {int(row["hour"]): int(row["n"]) for row in warehouse.rows(sql, bound | {"table": table})}

    hours = by_hour(_ROLLED_UP, "signals_1h_states")
    minutes = by_hour(_ROLLED_UP, "signals_1m_states")
    values = by_hour(_VALUES, "signals")
    frames = by_hour(_BY_RECEIPT, "frames")
    doubled = [(row["vehicle_id"], int(row["n"])) for row in warehouse.rows(_DOUBLED, bound)]
    dead_letters = by_hour(_BY_RECEIPT, "dead_letters")
    return HourlyCounts(frames, doubled[0] if doubled else None, dead_letters, values, minutes, hours)
