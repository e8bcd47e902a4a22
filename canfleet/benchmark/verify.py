"""After a run: wait until everything is stored, then count in ClickHouse what must be there once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings

_COUNTS: Final = {
    "frames": "SELECT count() AS n FROM frames",
    # Vehicle by vehicle in the order of the sort key: one set of all identities would take gigabytes.
    "identities": "SELECT sum(u) AS n FROM (SELECT uniqExact(session, sequence) AS u FROM frames "
    "GROUP BY fleet, vehicle_id SETTINGS optimize_aggregation_in_order = 1)",
    "signals": "SELECT countIf(isFinite(value)) AS n FROM signals",
    "rolled_up": "SELECT sum(count) AS n FROM signals_1m_states",
    "rolled_up_1h": "SELECT sum(count) AS n FROM signals_1h_states",
    "anomalies": "SELECT count() AS n FROM anomalies",
}
_ANOMALIES: Final = """
SELECT vehicle_id, kind, signal, arbitration_id, toUnixTimestamp64Micro(timestamp) AS at
FROM anomalies WHERE timestamp >= fromUnixTimestamp64Micro({since:Int64}) AND vehicle_id != {probe:String}
"""


class Store:
    """Counts in one platform's ClickHouse, relative to what was there when this was made."""

    def __init__(self, clickhouse: str) -> None:
        """Ask ClickHouse at `clickhouse` as user `default`."""
        self._warehouse = Warehouse.connect(WarehouseSettings(url=clickhouse))
        self._before = self._read(_COUNTS)

    def close(self) -> None:
        """Close the connections."""
        self._warehouse.close()

    def frames(self) -> int:
        """Frames stored since the beginning."""
        return self._read({"frames": _COUNTS["frames"]})["frames"] - self._before["frames"]

    def values(self) -> tuple[int, int]:
        """Values stored, and those that the hour rollup counts, since the beginning."""
        found = self._read({name: _COUNTS[name] for name in ("signals", "rolled_up_1h")})
        return found["signals"] - self._before["signals"], found["rolled_up_1h"] - self._before["rolled_up_1h"]

    def rolled_up(self) -> bool:
        """Whether the rollups know of all values that are stored."""
        values, counted = self.values()
        return counted >= values

    def counts(self) -> dict[str, int]:
        """All counts since the beginning."""
        return {name: count - self._before[name] for name, count in self._read(_COUNTS).items()}

    def anomalies(self, since_us: int, probe: str) -> list[dict[str, Any]]:
        """What `simulator.score` needs of every anomaly with an event time from `since_us`, less the probe's own."""
        rows = self._warehouse.rows(_ANOMALIES, {"since": since_us, "probe": probe})
        return [{**row, "timestamp": row["at"]} for row in rows]

    def tables(self) -> dict[str, dict[str, float]]:
        """Compressed MiB, rows and active parts of each table."""
        rows = self._warehouse.rows(
            "SELECT table, sum(bytes_on_disk) / 1048576 AS mib, sum(rows) AS rows, count() AS parts "
            "FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table"
        )
        return {row["table"]: {"mib": row["mib"], "rows": row["rows"], "parts": row["parts"]} for row in rows}

    def _read(self, queries: dict[str, str]) -> dict[str, int]:
        return {name: int(self._warehouse.rows(query)[0]["n"]) for name, query in queries.items()}


def wait_until(holds: Callable[[], bool], timeout_s: float, every_s: float = 0.25) -> float:
    """Ask until it holds or the time is up; the seconds waited."""
    began = time.monotonic()
    while not holds() and time.monotonic() - began < timeout_s:
        time.sleep(every_s)
    return time.monotonic() - began


def checks(counts: dict[str, int], accepted: int) -> dict[str, bool]:
    """Whether nothing was lost and nothing counted twice."""
    return {
        "every accepted frame is stored": counts["frames"] == accepted,
        "no frame is stored twice": counts["identities"] == counts["frames"],
        "the minute rollup counts every value once": counts["rolled_up"] == counts["signals"],
        "the hour rollup counts every value once": counts["rolled_up_1h"] == counts["signals"],
    }
