"""How long rows stay, as TTLs: hot volume, cold volume, gone."""

from __future__ import annotations

from typing import Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import KeepSettings

_TABLES: Final = {
    "frames": "frames",
    "signals": "signals",
    "signals_1m_states": "signals_1m",
    "signals_1h_states": "signals_1h",
    "anomalies_log": "anomalies",
    "dead_letters": "dead_letters",
    "dead_letter_marks": "dead_letters",
}
"""Field of `RetentionSettings` by table; each has a column `stored_on`, the day that its rows count from."""


def ttl(keep: KeepSettings, storage_policy: str | None) -> str:
    """The TTL expression of a table, spelled as ClickHouse repeats it; empty: rows stay where they are, for ever."""
    rules = []
    if keep.hot_days is not None and storage_policy is not None:
        rules.append(f"stored_on + toIntervalDay({keep.hot_days}) TO VOLUME 'cold'")
    if keep.days is not None:
        rules.append(f"stored_on + toIntervalDay({keep.days})")
    return ", ".join(rules)


def apply_retention(warehouse: Warehouse) -> list[str]:
    """Give every table the TTL of the settings; returns the tables that changed. Unchanged ones are not touched.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    settings = warehouse.settings
    created = {
        row["name"]: row["create_table_query"]
        for row in warehouse.rows(
            "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
        )
    }
    changed = []
    for table, field in _TABLES.items():
        wanted = ttl(getattr(settings.retention, field), settings.storage_policy)
        present = created[table].partition(" TTL ")[2].partition(" SETTINGS ")[0]
        if wanted == present:
            continue
        warehouse.command(f"ALTER TABLE {table} MODIFY TTL {wanted}" if wanted else f"ALTER TABLE {table} REMOVE TTL")
        changed.append(table)
    return changed
