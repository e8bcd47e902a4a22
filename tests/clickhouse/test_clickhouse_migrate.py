"""Migrations: once, in order, checksummed; and the TTLs that follow the settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clickhouse_process import HostProcess
from clickhouse_rows import canonical_frames, frame_rows, signal_rows, store

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import Migration, known_migrations, migrate, pending, planned
from pipeline.clickhouse.retention import apply_retention
from pipeline.clickhouse.settings import KeepSettings, RetentionSettings, WarehouseSettings
from pipeline.clickhouse.writer import Writer
from pipeline.errors import ConfigError, WarehouseAway, WarehouseError


def test_applied_once(warehouse: Warehouse) -> None:
    assert migrate(warehouse) == []
    assert pending(warehouse) == []
    rows = warehouse.rows("SELECT number, checksum FROM schema_migrations ORDER BY number")
    assert [(row["number"], row["checksum"]) for row in rows] == [(m.number, m.checksum) for m in known_migrations()]
    assert [m.number for m in known_migrations()] == list(range(1, len(rows) + 1))


def test_a_new_one_is_pending_then_applied(warehouse: Warehouse) -> None:
    more = [*known_migrations(), Migration(9001, "more", "CREATE TABLE IF NOT EXISTS more (a Int8) ENGINE = Memory;\n")]
    assert pending(warehouse, more) == more[-1:]
    assert migrate(warehouse, more) == more[-1:]
    assert pending(warehouse, more) == []
    with pytest.raises(WarehouseError, match="9001_more, which this canfleet does not know"):
        pending(warehouse)


def test_a_changed_one_is_refused(warehouse: Warehouse) -> None:
    first, *others = known_migrations()
    changed = [replace(first, sql=first.sql + "\n"), *others]
    with pytest.raises(WarehouseError, match=r"0001_frames was applied .* with another text"):
        migrate(warehouse, changed)


def test_a_failing_one_is_named_and_stays_pending(warehouse: Warehouse) -> None:
    broken = [*known_migrations(), Migration(9001, "broken", "CREATE TABLE x (a Nonsense) ENGINE = Memory;\n")]
    with pytest.raises(WarehouseError, match=r"migration 9001_broken: .*UNKNOWN_TYPE"):
        migrate(warehouse, broken)
    assert pending(warehouse, broken) == broken[-1:]


def ttl_of(warehouse: Warehouse, table: str) -> str:
    sql = "SELECT create_table_query AS q FROM system.tables WHERE database = currentDatabase() AND name = {t:String}"
    return str(warehouse.rows(sql, {"t": table})[0]["q"]).partition(" TTL ")[2].partition(" SETTINGS ")[0]


def test_retention_follows_the_settings(warehouse: Warehouse) -> None:
    assert "toIntervalDay(7) TO VOLUME 'cold'" in ttl_of(warehouse, "frames")
    assert apply_retention(warehouse) == []
    never = KeepSettings()
    retention = RetentionSettings(frames=KeepSettings(hot_days=1, days=2), dead_letters=never)
    shorter = Warehouse.connect(warehouse.settings.model_copy(update={"retention": retention}))
    assert apply_retention(shorter) == ["frames", "dead_letters", "dead_letter_marks"]
    assert apply_retention(shorter) == []
    assert "toIntervalDay(2)" in ttl_of(warehouse, "frames")
    assert ttl_of(warehouse, "dead_letters") == ""
    shorter.close()


def test_without_a_storage_policy_nothing_moves(host: HostProcess) -> None:
    plain = Warehouse.connect(WarehouseSettings(url=host.url, database="db_plain"))
    migrate(plain)
    assert "VOLUME" not in ttl_of(plain, "frames")
    assert "toIntervalDay(90)" in ttl_of(plain, "frames")
    plain.close()


def test_away_and_refused_are_told_apart(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="UNKNOWN_TABLE") as refused:
        warehouse.rows("SELECT * FROM missing")
    assert not isinstance(refused.value, WarehouseAway)
    with pytest.raises(WarehouseAway, match="does not answer"):
        Warehouse.connect(WarehouseSettings(url="http://127.0.0.1:1", connect_timeout_s=1))
    hasty = Warehouse.connect(warehouse.settings.model_copy(update={"timeout_s": 1}))
    with pytest.raises(WarehouseAway):
        hasty.rows("SELECT sleep(2.5)")
    hasty.close()
    for url in (None, "127.0.0.1:8123", "ftp://x"):
        with pytest.raises(ConfigError, match=r"clickhouse\.url"):
            Warehouse.connect(WarehouseSettings(url=url))


def test_a_dry_run_tells_all_and_writes_nothing(host: HostProcess) -> None:
    dry = Warehouse.connect(WarehouseSettings(url=host.url, database="db_dry", storage_policy="hot_cold"))
    plan = planned(dry)
    assert [one for one, _, _ in plan] == known_migrations()
    assert all(lost is None for _, _, lost in plan)
    assert "CREATE TABLE IF NOT EXISTS frames" in plan[0][1][0]
    assert not dry.database_exists()
    migrate(dry)
    assert planned(dry) == []
    dry.close()


LOSSY = {
    "DROP TABLE signals": "20,000 rows of signals",
    "TRUNCATE TABLE signals": "20,000 rows of signals",
    "DELETE FROM signals WHERE value > 3": "20,000 rows of signals",
    "ALTER TABLE signals DROP COLUMN IF EXISTS message": "column message of 20,000 rows of signals",
    "ALTER TABLE signals DELETE WHERE value > 3": "some of 20,000 rows of signals",
    "ALTER TABLE signals DROP PARTITION '2023-11-13'": "some of 20,000 rows of signals",
    "ALTER TABLE frames MODIFY COLUMN arbitration_id UInt16": r"the values of \d[\d,]+ rows in column arbitration_id",
    "ALTER TABLE frames MODIFY COLUMN sequence UInt64": "the values of 500 rows in column sequence of frames",
}


@pytest.mark.parametrize("statement", LOSSY)
def test_one_that_would_lose_data_is_refused_before_it_begins(warehouse: Warehouse, statement: str) -> None:
    first = "CREATE TABLE IF NOT EXISTS more (a Int8) ENGINE = Memory;\n"
    lossy = [*known_migrations(), Migration(9001, "lossy", f"{first}-- why\n{statement};\n")]
    writer = Writer(warehouse)
    store(writer, signal_rows(20_000, 1), "values")
    writer.insert_frames(frame_rows(canonical_frames(500, 1, counted=False)), "frames")
    [(_, _, lost)] = planned(warehouse, lossy)
    assert lost is not None
    with pytest.raises(
        WarehouseError, match=rf"migration 9001_lossy would lose {LOSSY[statement]}.*nothing of it was done"
    ):
        migrate(warehouse, lossy)
    assert warehouse.rows(
        "SELECT count() AS n FROM system.tables WHERE database = currentDatabase() AND name = 'more'"
    ) == [{"n": 0}]
    assert pending(warehouse, lossy) == lossy[-1:]


def test_one_that_loses_nothing_is_not(warehouse: Warehouse) -> None:
    """Tables without rows may go; columns may become wider, or narrower where every value fits."""
    Writer(warehouse).insert_frames(frame_rows(canonical_frames(500, 1, counted=True)), "frames")
    sql = """DROP TABLE dead_letter_marks;
ALTER TABLE frames MODIFY COLUMN channel UInt16, MODIFY COLUMN sequence Nullable(UInt32);
ALTER TABLE frames MODIFY COLUMN data CODEC(ZSTD(3));
ALTER TABLE signals DROP COLUMN message;
"""
    harmless = [*known_migrations(), Migration(9001, "harmless", sql)]
    assert planned(warehouse, harmless)[0][2] is None
    with pytest.raises(KeyError, match="dead_letter_marks"):  # the retention of a table that is gone
        migrate(warehouse, harmless)
    assert pending(warehouse, harmless) == []
    assert warehouse.rows("SELECT count() AS n, max(sequence) AS most FROM frames") == [{"n": 500, "most": 499}]


EVERY_COLUMN = "SELECT * FROM {table:Identifier} ORDER BY ALL"


@pytest.mark.parametrize("version", range(1, len(known_migrations())))
def test_every_earlier_version_comes_up_to_date_with_its_rows(host: HostProcess, version: int) -> None:
    database = f"db_from_{version}"
    settings = WarehouseSettings(url=host.url, database=database, storage_policy="hot_cold")
    warehouse = Warehouse.connect(settings)
    warehouse.command(f"CREATE DATABASE {database}", database="default")
    warehouse.command(
        "CREATE TABLE schema_migrations (number UInt32, name String, checksum String, "
        "applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY number"
    )
    for migration in known_migrations()[:version]:
        for statement in migration.statements("hot_cold"):
            warehouse.command(statement)
        warehouse.command(
            "INSERT INTO schema_migrations (number, name, checksum) SELECT {n:UInt32}, {name:String}, {sum:String}",
            {"n": migration.number, "name": migration.name, "sum": migration.checksum},
        )
    tables = [row["name"] for row in warehouse.rows(_OWN_TABLES)]
    for table in tables:
        warehouse.command(f"INSERT INTO {table} SELECT {_invented(warehouse, table)} FROM numbers(200)")
    before = {table: warehouse.rows(EVERY_COLUMN, {"table": table}) for table in tables}
    assert all(len(rows) > 1 for rows in before.values())
    assert migrate(warehouse) == known_migrations()[version:]
    for table, rows in before.items():
        now = warehouse.rows(EVERY_COLUMN, {"table": table})
        assert [{name: row[name] for name in rows[0]} for row in now] == rows, table
    Writer(warehouse).insert_frames(frame_rows(canonical_frames(10, 1, counted=True)), "after")
    warehouse.close()


_OWN_TABLES = """
    SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
        AND name != 'schema_migrations'
"""


def _invented(warehouse: Warehouse, table: str) -> str:
    """A value for every column of a table, from `number`, in the columns' order."""
    sql = """
        SELECT type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}
            AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') ORDER BY position
    """
    values = []
    for row in warehouse.rows(sql, {"table": table}):
        kind = str(row["type"])
        inner = kind.partition(", ")[2].rstrip(")") if kind.startswith("SimpleAggregate") else kind
        if "String" in inner:
            values.append("toString(number)")
        elif inner.startswith("DateTime"):
            values.append("toDateTime('2026-01-05 00:00:00', 'UTC') + number * 3600")
        elif inner == "Date":
            values.append("today()")
        else:
            values.append("number % 2")
    return ", ".join(values)
