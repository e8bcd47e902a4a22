"""Migrations: once, in order, checksummed; and the TTLs that follow the settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clickhouse_process import HostProcess

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import Migration, known_migrations, migrate, pending
from pipeline.clickhouse.retention import apply_retention
from pipeline.clickhouse.settings import KeepSettings, RetentionSettings, WarehouseSettings
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
