"""What the API asks the warehouse. Values are bound by the server; no text of a caller becomes SQL.

Times are integer microseconds since the epoch, ranges are [start, end), and rows are dictionaries ready for JSON.
"""

from __future__ import annotations

from typing import Any, Final

from pipeline.clickhouse.client import Warehouse

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


class Queries:
    """Reads of one warehouse; may be used from several threads.

    Every method raises WarehouseError or WarehouseAway, see `Warehouse`.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        """Read from `warehouse`."""
        self._warehouse = warehouse

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
