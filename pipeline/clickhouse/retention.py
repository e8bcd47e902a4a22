"""How long rows stay, as TTLs: hot volume, compressed anew, cold volume, gone; and gone earlier for some fleets."""

from __future__ import annotations

from typing import Final, Literal

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import RetentionSettings

KINDS: Final = {
    "frames": "frames",
    "signals": "signals",
    "signals_1m_states": "signals_1m",
    "signals_1h_states": "signals_1h",
    "fleet_signals_1h_states": "signals_1h",
    "anomalies_log": "anomalies",
    "dead_letters": "dead_letters",
    "dead_letter_marks": "dead_letters",
}
"""Field of `RetentionSettings` by table; each has a column `stored_on`, the day that its rows count from."""

Unit = Literal["Day", "Second"]

_CREATED: Final = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
_WHOLE_PARTS: Final = "ttl_only_drop_parts = 1"


def ttl(retention: RetentionSettings, kind: str, storage_policy: str | None, unit: Unit = "Day") -> str:
    """The TTL expression of a table, spelled as ClickHouse repeats it; empty: rows stay where they are, for ever.

    Rows are compressed anew a day before they move, so that what is moved is small already; a day is the grain of
    `stored_on`.

    Args:
        retention: the settings.
        kind: field of them.
        storage_policy: None: there is no cold volume.
        unit: what the settings' days are; only tests, which have no days to wait, count seconds.
    """
    keep = getattr(retention, kind)
    rules = []
    if keep.hot_days is not None and storage_policy is not None:
        if keep.cold_zstd is not None:
            rules.append(f"{_after(max(1, keep.hot_days - 1), unit)} RECOMPRESS CODEC(ZSTD({keep.cold_zstd}))")
        rules.append(f"{_after(keep.hot_days, unit)} TO VOLUME 'cold'")
    for fleet in sorted(retention.fleets):
        days = getattr(retention.fleets[fleet], kind)
        if days is not None:
            rules.append(f"{_after(days, unit)} WHERE fleet = {_quoted(fleet)}")
    if keep.days is not None:
        rules.append(_after(keep.days, unit))
    return ", ".join(rules)


def apply_retention(warehouse: Warehouse, unit: Unit = "Day") -> list[str]:
    """Give every table the TTL of the settings; returns the tables that changed. Unchanged ones are not touched.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    settings = warehouse.settings
    created = {row["name"]: row["create_table_query"] for row in warehouse.rows(_CREATED)}
    changed = []
    for table, kind in KINDS.items():
        wanted = ttl(settings.retention, kind, settings.storage_policy, unit)
        # A fleet may be called anything: the first TTL and the last SETTINGS are ClickHouse's.
        present, _, table_settings = created[table].partition(" TTL ")[2].rpartition(" SETTINGS ")
        if " TTL " not in created[table]:
            present, table_settings = "", created[table].rpartition(" SETTINGS ")[2]
        if wanted == present:
            continue
        # With this setting ClickHouse leaves rows alone until a part has no others.
        whole = not any(getattr(own, kind) is not None for own in settings.retention.fleets.values())
        if whole != (_WHOLE_PARTS in table_settings):
            warehouse.command(f"ALTER TABLE {table} MODIFY SETTING ttl_only_drop_parts = {int(whole)}")
        warehouse.command(f"ALTER TABLE {table} MODIFY TTL {wanted}" if wanted else f"ALTER TABLE {table} REMOVE TTL")
        changed.append(table)
    return changed


def _after(days: int, unit: Unit) -> str:
    return f"stored_on + toInterval{unit}({days})"


def _quoted(text: str) -> str:
    """A string literal as ClickHouse writes it itself."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    for raw, mark in (("\b", "b"), ("\f", "f"), ("\r", "r"), ("\n", "n"), ("\t", "t"), ("\0", "0")):
        escaped = escaped.replace(raw, f"\\{mark}")
    return f"'{escaped}'"
