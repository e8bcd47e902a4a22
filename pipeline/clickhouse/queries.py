"""What the API asks the warehouse. Values are bound by the server; no text of a caller becomes SQL.

Times are integer microseconds since the epoch, ranges are [start, end), and rows are dictionaries ready for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.resolution import HOUR, MAX_POINTS, MINUTE, resolution

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
_ANOMALIES: Final = """
    SELECT
        id, fleet, vehicle_id, kind,
        toUnixTimestamp64Micro(a.timestamp) AS timestamp,
        toUnixTimestamp64Micro(a.ended_at) AS ended_at,
        toUnixTimestamp64Micro(a.detected_at) AS detected_at,
        message, signal, arbitration_id, value, score, count, closed, detail
    FROM anomalies_log AS a FINAL
    WHERE fleet = {fleet:String}
        AND ({vehicle:String} = '' OR vehicle_id = {vehicle:String})
        AND ({kind:String} = '' OR kind = {kind:String})
        AND a.timestamp >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
        AND a.timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
    ORDER BY a.timestamp DESC, id
    LIMIT {limit:UInt64}
"""
_TABLES: Final = ("frames", "signals", "signals_1m", "signals_1h", "anomalies", "dead_letters")
_COUNTS: Final = "SELECT " + ", ".join(f"(SELECT count() FROM {table}) AS {table}" for table in _TABLES)


@dataclass(frozen=True, slots=True)
class History:
    """The past of some signals of one vehicle.

    Attributes:
        resolution: `raw`, or the step of the buckets in words, such as `10s`, `5m` or `1h`.
        step: microseconds a bucket; None where the points are raw.
        points: by signal and time. Raw: signal, message, timestamp, value. Buckets: signal, timestamp (of the
            bucket's begin), count, min, max, mean, last, over finite values; a bucket without any is left out.
    """

    resolution: str
    step: int | None
    points: list[dict[str, Any]]


class Queries:
    """Reads of one warehouse; may be used from several threads.

    Every method raises WarehouseError or WarehouseAway, see `Warehouse`.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        """Read from `warehouse`."""
        self._warehouse = warehouse

    def signal_history(
        self,
        fleet: str,
        vehicle_id: str,
        signals: Sequence[str],
        *,
        start: int,
        end: int,
        step: int | None = None,
        message: str | None = None,
    ) -> History:
        """The values of `signals` in [start, end), at most `MAX_POINTS` a signal.

        Raw points where no step is asked for and they are few; else buckets, see `resolution`. Buckets of a minute or
        more come from the rollups and are whole: the first can begin before `start`.

        Args:
            fleet: whose vehicle it is.
            vehicle_id: the vehicle.
            signals: names; two messages may have signals of the same name, which `message` tells apart.
            start, end: event time, microseconds.
            step: of the buckets, microseconds.
            message: name of the signals' message.
        """
        bound: dict[str, Any] = {
            "fleet": fleet,
            "vehicle": vehicle_id,
            "signals": list(signals),
            "message": message or "",
            "start": start,
            "end": end,
        }
        if step is None and end - start <= _RAW_WITHIN:
            raw = self._warehouse.arrow(_RAW, bound | {"limit": MAX_POINTS + 1})
            if _most(raw["signal"]) <= MAX_POINTS:
                return History("raw", None, raw.to_pylist())
        chosen = resolution(start, end, step)
        bound["step"] = chosen.step
        if chosen.source == "signals":
            return History(_words(chosen.step), chosen.step, self._warehouse.rows(_BUCKETS_OF_VALUES, bound))
        bound |= {"table": f"{chosen.source}_states", "start": start // chosen.step * chosen.step}
        return History(_words(chosen.step), chosen.step, self._warehouse.rows(_BUCKETS_OF_STATES, bound))

    def anomalies(
        self,
        fleet: str,
        *,
        start: int,
        end: int,
        vehicle_id: str | None = None,
        kind: str | None = None,
        limit: int = 1_000,
    ) -> list[dict[str, Any]]:
        """The newest `limit` anomalies that began in [start, end), each once in its newest state, newest first."""
        bound = {
            "fleet": fleet,
            "vehicle": vehicle_id or "",
            "kind": kind or "",
            "start": start,
            "end": end,
            "limit": limit,
        }
        return self._warehouse.rows(_ANOMALIES, bound)

    def frame_counts(self, fleet: str) -> dict[str, int]:
        """Stored frames of every vehicle of a fleet. Reads the vehicle column of the whole fleet."""
        rows = self._warehouse.rows(
            "SELECT vehicle_id, count() AS frames FROM frames WHERE fleet = {fleet:String} GROUP BY vehicle_id",
            {"fleet": fleet},
        )
        return {row["vehicle_id"]: row["frames"] for row in rows}

    def table_counts(self) -> dict[str, int]:
        """Rows of every table and view that SQL users may rely on, all fleets together."""
        return self._warehouse.rows(_COUNTS)[0]


def _most(names: pa.ChunkedArray) -> int:
    """How often the commonest of `names` occurs."""
    counts = pc.value_counts(names)
    return max((int(entry["counts"]) for entry in counts.to_pylist()), default=0)


def _words(step: int) -> str:
    for unit, word in ((HOUR, "h"), (MINUTE, "m"), (1_000_000, "s"), (1_000, "ms")):
        if step % unit == 0:
            return f"{step // unit}{word}"
    return f"{step}us"
