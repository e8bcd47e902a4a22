"""Signals over time: raw values where they are few, else buckets that keep every peak in their minimum and maximum.

Times are integer microseconds since the epoch, ranges are [start, end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.resolution import HOUR, MAX_POINTS, in_words, resolution

_RAW_WITHIN: Final = 6 * HOUR
"""Longer ranges hold more points than an answer may have, save for rare signals: not worth a look."""

_OF_THE_SERIES: Final = """
    WHERE fleet = {fleet:String}
        AND vehicle_id = {vehicle:String}
        AND signal IN {signals:Array(String)}
        AND ({message:String} = '' OR message = {message:String})
        AND s.timestamp >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
        AND s.timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""
_RAW: Final = f"""
    SELECT signal, message, toUnixTimestamp64Micro(s.timestamp) AS timestamp, value
    FROM signals AS s {_OF_THE_SERIES}
    ORDER BY signal, s.timestamp, message
    LIMIT {{limit:UInt64}} BY signal
"""
_BUCKETS_OF_VALUES: Final = f"""
    SELECT
        signal,
        intDiv(toUnixTimestamp64Micro(s.timestamp), {{step:Int64}}) * {{step:Int64}} AS timestamp,
        count() AS count,
        min(value) AS min,
        max(value) AS max,
        avg(value) AS mean,
        argMax(value, s.timestamp) AS last
    FROM signals AS s {_OF_THE_SERIES} AND isFinite(value)
    GROUP BY signal, timestamp
    ORDER BY signal, timestamp
"""
_BUCKETS_OF_STATES: Final = f"""
    SELECT
        signal,
        intDiv(toInt64(toUnixTimestamp(s.timestamp)) * 1000000, {{step:Int64}}) * {{step:Int64}} AS timestamp,
        sum(s.count) AS count,
        min(s.min) AS min,
        max(s.max) AS max,
        sum(s.sum) / sum(s.count) AS mean,
        reinterpretAsFloat64(toUInt64(max(s.last))) AS last
    FROM {{table:Identifier}} AS s {_OF_THE_SERIES}
    GROUP BY signal, timestamp
    ORDER BY signal, timestamp
"""


@dataclass(frozen=True, slots=True)
class History:
    """The past of some signals of one vehicle.

    Attributes:
        resolution: `raw`, or the step of the buckets in words, such as `10s`, `5m` or `1h`.
        step: microseconds a bucket; None where the points are raw.
        table: by signal and time. Raw: signal, message (utf8), timestamp (int64), value (float64). Buckets: signal,
            timestamp (of the bucket's begin), count (uint64), min, max, mean, last (float64), over finite values; a
            bucket without any is left out.
    """

    resolution: str
    step: int | None
    table: pa.Table

    @property
    def points(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, ready for JSON. O(values)."""
        return self.table.to_pylist()


def signal_history(
    warehouse: Warehouse,
    fleet: str,
    vehicle_id: str,
    signals: Sequence[str],
    *,
    start: int,
    end: int,
    step: int | None = None,
    message: str | None = None,
) -> History:
    """The values of `signals` in [start, end), at most `MAX_POINTS` in all, which the signals share evenly.

    Raw points where no step is asked for and they are few; else buckets, see `resolution`. All signals have the same
    resolution. Buckets of a minute or more come from the rollups and are whole: the first can begin before `start`.

    Args:
        warehouse: to ask.
        fleet: whose vehicle it is.
        vehicle_id: the vehicle.
        signals: names; two messages may have signals of the same name, which `message` tells apart.
        start, end: event time, microseconds.
        step: of the buckets, microseconds.
        message: name of the signals' message.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    bound: dict[str, Any] = {
        "fleet": fleet,
        "vehicle": vehicle_id,
        "signals": list(signals),
        "message": message or "",
        "start": start,
        "end": end,
    }
    most = max(1, MAX_POINTS // max(1, len(signals)))
    if step is None and end - start <= _RAW_WITHIN:
        raw = warehouse.arrow(_RAW, bound | {"limit": most + 1})
        if _most(raw["signal"]) <= most:
            return History("raw", None, raw)
    chosen = resolution(start, end, step, most)
    bound["step"] = chosen.step
    if chosen.source == "signals":
        return History(in_words(chosen.step), chosen.step, warehouse.arrow(_BUCKETS_OF_VALUES, bound))
    bound |= {"table": f"{chosen.source}_states", "start": start // chosen.step * chosen.step}
    return History(in_words(chosen.step), chosen.step, warehouse.arrow(_BUCKETS_OF_STATES, bound))


def _most(names: pa.ChunkedArray) -> int:
    """How often the commonest of `names` occurs."""
    counts = pc.value_counts(names)
    return max((int(entry["counts"]) for entry in counts.to_pylist()), default=0)
