"""One signal over time, over all vehicles of a fleet together: hours, which ClickHouse adds up as they are inserted."""

from __future__ import annotations

from typing import Any, Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.resolution import HOUR, resolution

_HOURS: Final = """
    SELECT
        intDiv(toInt64(toUnixTimestamp(s.timestamp)) * 1000000, {step:Int64}) * {step:Int64} AS timestamp,
        sum(s.count) AS count,
        min(s.min) AS min,
        max(s.max) AS max,
        sum(s.sum) / sum(s.count) AS mean
    FROM fleet_signals_1h_states AS s
    WHERE fleet = {fleet:String}
        AND signal = {signal:String}
        AND ({message:String} = '' OR message = {message:String})
        AND s.timestamp >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
        AND s.timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
    GROUP BY timestamp
    ORDER BY timestamp
"""


def fleet_history(
    warehouse: Warehouse,
    fleet: str,
    signal: str,
    *,
    start: int,
    end: int,
    step: int | None = None,
    message: str | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """The step (µs), and for each with values: timestamp (µs, its begin), count, min, max, mean over finite values.

    Whole hours that begin in [start, end), microseconds, or longer steps: see `resolution`. O(hours) in the engine.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    step = resolution(start, end, max(step or 0, HOUR)).step
    bound = {"fleet": fleet, "signal": signal, "message": message or "", "start": start, "end": end, "step": step}
    return step, warehouse.rows(_HOURS, bound)
