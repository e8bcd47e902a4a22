"""Apply the numbered SQL files of `migrations/`, each once, and refuse to go on from a schema that is not theirs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any, Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.lossy import loss
from pipeline.clickhouse.retention import apply_retention
from pipeline.errors import WarehouseAway, WarehouseError

_FILE: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_END_OF_STATEMENT: Final = re.compile(r";[ \t]*$", re.MULTILINE)
_ONE_VOLUME: Final = "default"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file.

    Attributes:
        number: files are applied in this order, without gaps.
        name: for people.
        sql: statements; each line that ends with a semicolon ends one.
    """

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self, storage_policy: str | None) -> list[str]:
        """What to run, one by one. Each can be repeated: a migration that was cut short is run again from its start."""
        sql = Template(self.sql).substitute(storage_policy=storage_policy or _ONE_VOLUME)
        return [statement.strip() for statement in _END_OF_STATEMENT.split(sql) if statement.strip()]


def known_migrations() -> list[Migration]:
    """The files of `pipeline/clickhouse/migrations`, by number."""
    found = []
    for file in files("pipeline.clickhouse.migrations").iterdir():
        match = _FILE.fullmatch(file.name)
        if match is not None:
            found.append(Migration(int(match[1]), match[2], file.read_text()))
    return sorted(found, key=lambda migration: migration.number)


def pending(warehouse: Warehouse, known: list[Migration] | None = None) -> list[Migration]:
    """Migrations that `warehouse` lacks, in order. Writes nothing.

    Raises:
        WarehouseError: an applied migration is not among those known, or has another checksum.
        WarehouseAway: ClickHouse did not answer.
    """
    known = known_migrations() if known is None else known
    database = warehouse.settings.database
    applied = _applied(warehouse)
    by_number = {migration.number: migration for migration in known}
    for number, row in sorted(applied.items()):
        migration = by_number.get(number)
        if migration is None:
            raise WarehouseError(
                f"database {database} has migration {number:04d}_{row['name']}, which this canfleet does not know: "
                "use the version that applied it, or a newer one"
            )
        if migration.checksum != row["checksum"]:
            raise WarehouseError(
                f"migration {number:04d}_{row['name']} was applied to database {database} with another text: an "
                "applied migration never changes; restore its file and put the change into a new one"
            )
    return [migration for migration in known if migration.number not in applied]


def planned(
    warehouse: Warehouse, known: list[Migration] | None = None
) -> list[tuple[Migration, list[str], str | None]]:
    """A dry run: what is pending, its statements, and what it would lose of what there is now, or None. Writes nothing.

    Raises:
        WarehouseError, WarehouseAway: see `pending`.
    """
    found = []
    there = warehouse.database_exists()
    for migration in pending(warehouse, known):
        statements = migration.statements(warehouse.settings.storage_policy)
        found.append((migration, statements, _loss(warehouse, statements) if there else None))
    return found


def require_migrated(warehouse: Warehouse) -> None:
    """Nothing, where the schema is the one this canfleet writes.

    Raises:
        WarehouseAway: migrations are pending; whoever starts the platform applies them.
        WarehouseError: see `pending`.
    """
    missing = pending(warehouse)
    if missing:
        raise WarehouseAway(f"database {warehouse.settings.database} waits for migration {missing[0].name}")


def migrate(warehouse: Warehouse, known: list[Migration] | None = None) -> list[Migration]:
    """Apply what is pending, then the retention of the settings; returns what was applied. The database is created.

    Raises:
        WarehouseError: a migration would lose data, and nothing of it was done; ClickHouse refused a statement (the
            message names the file); or see `pending`.
        WarehouseAway: ClickHouse did not answer; run it again.
    """
    warehouse.command(f"CREATE DATABASE IF NOT EXISTS {warehouse.settings.database}", database="default")
    warehouse.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations (number UInt32, name String, checksum String, "
        "applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY number"
    )
    missing = pending(warehouse, known)
    for migration in missing:
        statements = migration.statements(warehouse.settings.storage_policy)
        lost = _loss(warehouse, statements)
        if lost is not None:
            raise WarehouseError(
                f"migration {migration.number:04d}_{migration.name} would lose {lost}: copy or remove them yourself, "
                "then start again; nothing of it was done"
            )
        for statement in statements:
            try:
                warehouse.command(statement)
            except WarehouseError as error:
                raise type(error)(f"migration {migration.number:04d}_{migration.name}: {error}") from error
        warehouse.command(
            "INSERT INTO schema_migrations (number, name, checksum) "
            "SELECT {number:UInt32}, {name:String}, {sum:String}",
            {"number": migration.number, "name": migration.name, "sum": migration.checksum},
        )
    apply_retention(warehouse)
    return missing


def _loss(warehouse: Warehouse, statements: list[str]) -> str | None:
    return next((lost for statement in statements if (lost := loss(warehouse, statement)) is not None), None)


def _applied(warehouse: Warehouse) -> dict[int, dict[str, Any]]:
    """Rows of `schema_migrations` by number; none where it does not exist."""
    if not warehouse.database_exists():
        return {}
    sql = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    if not warehouse.rows(sql):
        return {}
    return {row["number"]: row for row in warehouse.rows("SELECT number, name, checksum FROM schema_migrations")}
