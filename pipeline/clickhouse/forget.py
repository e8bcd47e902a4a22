"""The rows of one vehicle: counted by hour of receipt, and deleted from every table, on every volume.

A lightweight delete hides the rows from every reader at once, whatever the size of the parts. `APPLY DELETED MASK` then
has ClickHouse write those parts anew without them, in the background, however often it is restarted meanwhile; the
parts they replace leave the disk `old_parts_lifetime` (8 minutes) later.

A mutation's text stays on disk long after it is done, so no id ever stands in one: it names a table in memory instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.dead_letters import DeadLetters
from pipeline.clickhouse.resolution import HOUR

TABLES: Final = {
    "signals_1h_states": "signals_1h",
    "signals_1m_states": "signals_1m",
    "signals": "signals",
    "frames": "frames",
    "anomalies_log": "anomalies",
}
"""Tables with a column `vehicle_id`, what is derived first, and what their rows are called in an answer."""

_LETTERS_AT_A_TIME: Final = 2_500
_OF_VEHICLE: Final = "fleet = {fleet:String} AND vehicle_id = {vehicle:String}"
_BY_HOUR: Final = f"""
    SELECT intDiv(toUnixTimestamp64Micro(f.received_at), {HOUR}) AS hour, count() AS n
    FROM frames AS f WHERE {_OF_VEHICLE} GROUP BY hour
"""
# Of a payload that is no JSON nobody knows what in it is the id: one that has it as a word of its own goes.
_LETTERS: Final = """
    SELECT DISTINCT id FROM dead_letters
    WHERE fleet = {fleet:String}
        AND (JSONExtractString(payload, 'vehicle_id') = {vehicle:String}
            OR (NOT isValidJSON(payload) AND match(payload, {words:String})))
    LIMIT {limit:UInt64}
"""
_DELETE: Final = (
    "DELETE FROM {table} WHERE fleet = {{fleet:String}} AND vehicle_id IN (SELECT vehicle_id FROM {scratch})"
)
_MASKED: Final = """
    SELECT DISTINCT table FROM system.parts
    WHERE database = currentDatabase() AND active AND has_lightweight_delete
"""
_MASKS: Final = """
    SELECT count() AS n FROM system.mutations
    WHERE database = currentDatabase() AND NOT is_done AND command LIKE '%APPLY DELETED MASK%'
"""


class VehicleRows:
    """Rows by vehicle in one warehouse. One thread.

    Every method raises WarehouseError or WarehouseAway, see `Warehouse`; what was cut short can be done again.
    """

    def __init__(self, warehouse: Warehouse, name: str) -> None:
        """Delete in `warehouse`; `name` tells this user of it from others at the same time."""
        self._warehouse = warehouse
        self._scratch = "forgetting_" + re.sub(r"[^0-9A-Za-z]", "_", name)

    def frames_by_hour(self, fleet: str, vehicle_id: str) -> dict[int, int]:
        """Frames that are stored, by hour of receipt since the epoch. O(frames of the vehicle)."""
        rows = self._warehouse.rows(_BY_HOUR, {"fleet": fleet, "vehicle": vehicle_id})
        return {int(row["hour"]): int(row["n"]) for row in rows}

    def delete(self, fleet: str, vehicle_id: str) -> Iterator[tuple[str, int]]:
        """Hide every row of a vehicle from all queries; tells of each table how many there were."""
        bound = {"fleet": fleet, "vehicle": vehicle_id}
        command, scratch = self._warehouse.command, self._scratch
        command(f"DROP TABLE IF EXISTS {scratch} SYNC")
        command(f"CREATE TABLE {scratch} (vehicle_id String) ENGINE = Memory")
        command(f"INSERT INTO {scratch} SELECT {{vehicle:String}}", bound, async_insert=0)
        for table, called in TABLES.items():
            what = "uniqExact(id)" if called == "anomalies" else "count()"
            [row] = self._warehouse.rows(f"SELECT {what} AS n FROM {table} WHERE {_OF_VEHICLE}", bound)
            if int(row["n"]):
                command(_DELETE.format(table=table, scratch=scratch), bound, lightweight_deletes_sync=2)
            yield called, int(row["n"])
        command(f"DROP TABLE {scratch} SYNC")

    def delete_letters(self, fleet: str, vehicle_id: str) -> int:
        """Hide every dead letter that names a vehicle; how many there were."""
        letters = DeadLetters(self._warehouse)
        asked = {"fleet": fleet, "vehicle": vehicle_id, "words": _as_word(vehicle_id)}
        count = 0
        while True:
            rows = self._warehouse.rows(_LETTERS, asked | {"limit": _LETTERS_AT_A_TIME})
            if not rows:
                return count
            letters.remove(fleet, [row["id"] for row in rows], "purged")
            count += len(rows)

    def rewrite(self) -> None:
        """Have all parts with hidden rows written anew without them, in the background: see `being_rewritten`.

        Whatever hid them: an earlier attempt may have ended before it came this far.
        """
        for row in self._warehouse.rows(_MASKED):
            self._warehouse.command(f"ALTER TABLE {row['table']} APPLY DELETED MASK", mutations_sync=0)


def being_rewritten(warehouse: Warehouse) -> bool:
    """Whether parts with deleted rows wait to be written anew, in any table: until then the rows are on disk."""
    return int(warehouse.rows(_MASKS)[0]["n"]) > 0


def _as_word(vehicle_id: str) -> str:
    """An RE2 pattern that finds the id, plain or as JSON writes it, where no letter, digit, dot or dash adjoins it."""
    forms = {vehicle_id, json.dumps(vehicle_id)[1:-1], json.dumps(vehicle_id, ensure_ascii=False)[1:-1]}
    found = "|".join(re.escape(form) for form in sorted(forms))
    return rf"(^|[^0-9A-Za-z_.-])({found})($|[^0-9A-Za-z_.-])"
