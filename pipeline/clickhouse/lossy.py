"""Which statement of a migration would lose data that is there: such a migration is refused before it begins.

ClickHouse drops columns and tables without a question, and a changed type cuts what does not fit.
"""

from __future__ import annotations

import re
from typing import Final

from pipeline.clickhouse.client import Warehouse

_COMMENT: Final = re.compile(r"--[^\n]*")
_NAME: Final = r"(?:IF\s+EXISTS\s+)?`?(\w+)`?"
_WHOLE_TABLE: Final = re.compile(
    rf"(?:DROP\s+TABLE|TRUNCATE(?:\s+TABLE)?|DELETE\s+FROM|(?:CREATE\s+OR\s+)?REPLACE\s+TABLE)\s+{_NAME}", re.IGNORECASE
)
_ALTER: Final = re.compile(rf"ALTER\s+TABLE\s+{_NAME}\s+(.*)", re.IGNORECASE | re.DOTALL)
_ROWS_GO: Final = re.compile(
    r"(?:DROP|CLEAR|DETACH|REPLACE)\s+(?:DETACHED\s+)?PART(?:ITION)?\b|DELETE\s+WHERE", re.IGNORECASE
)
_COLUMN_GOES: Final = re.compile(rf"(?:DROP|CLEAR)\s+COLUMN\s+{_NAME}", re.IGNORECASE)
_COLUMN_CHANGES: Final = re.compile(
    rf"(?:MODIFY|ALTER)\s+COLUMN\s+{_NAME}\s+(?:TYPE\s+)?(?!CODEC|DEFAULT|MATERIALIZED|ALIAS|COMMENT|TTL|REMOVE|MODIFY|RESET)"
    r"((?:\w+)(?:\((?:[^()]|\([^()]*\))*\))?)",
    re.IGNORECASE,
)
_COLUMN: Final = """
    SELECT type, default_kind FROM system.columns
    WHERE database = currentDatabase() AND table = {table:String} AND name = {column:String}
"""


def loss(warehouse: Warehouse, statement: str) -> str | None:
    """What `statement` would lose, in words; None: nothing that is there. Reads the column whose type changes.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    sql = _COMMENT.sub("", statement).strip()
    whole = _WHOLE_TABLE.match(sql)
    if whole is not None:
        rows = _rows(warehouse, whole[1])
        return f"{rows:,} rows of {whole[1]}" if rows else None
    alter = _ALTER.match(sql)
    if alter is None:
        return None
    table, change = alter[1], alter[2]
    rows = _rows(warehouse, table)
    if rows == 0:
        return None
    if _ROWS_GO.search(change):
        return f"some of {rows:,} rows of {table}"
    for column in _COLUMN_GOES.findall(change):
        kind = _column(warehouse, table, column)
        if kind is not None and kind[1] != "ALIAS":
            return f"column {column} of {rows:,} rows of {table}"
    for column, wanted in _COLUMN_CHANGES.findall(change):
        kind = _column(warehouse, table, column)
        if kind is None or kind[0] == wanted:
            continue
        changed = _changed(warehouse, table, column, kind[0], wanted)
        if changed:
            return f"the values of {changed:,} rows in column {column} of {table}, which do not fit {wanted}"
    return None


def _rows(warehouse: Warehouse, table: str) -> int:
    found = warehouse.rows(
        "SELECT toInt64(ifNull(total_rows, 0)) AS n FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    return int(found[0]["n"]) if found else 0


def _column(warehouse: Warehouse, table: str, column: str) -> tuple[str, str] | None:
    found = warehouse.rows(_COLUMN, {"table": table, "column": column})
    return (found[0]["type"], found[0]["default_kind"]) if found else None


def _changed(warehouse: Warehouse, table: str, column: str, present: str, wanted: str) -> int:
    """Rows whose value does not come back from the wanted type; a NULL that becomes something counts too."""
    back = f"accurateCastOrNull(accurateCastOrNull({column}, '{_inside(wanted)}'), '{_inside(present)}')"
    if "Nullable" not in wanted and "Nullable" in present:
        sql = f"SELECT toInt64(countIf(NOT ifNull({back} = {column}, 0))) AS n FROM {table}"
    else:
        sql = f"SELECT toInt64(countIf({column} IS NOT NULL AND NOT ifNull({back} = {column}, 0))) AS n FROM {table}"
    return int(warehouse.rows(sql)[0]["n"])


def _inside(kind: str) -> str:
    """A type as text within a string literal."""
    return kind.replace("\\", "\\\\").replace("'", "\\'")
