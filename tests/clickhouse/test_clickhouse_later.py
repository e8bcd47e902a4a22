"""A warehouse that is reached when it is first needed, and only used once its schema is there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from clickhouse_process import HostProcess

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate, require_migrated
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.errors import ConfigError, WarehouseAway


@pytest.fixture
def settings(host: HostProcess) -> Iterator[WarehouseSettings]:
    yield WarehouseSettings(url=host.url, database="db_later", storage_policy="hot_cold")
    Warehouse.connect(WarehouseSettings(url=host.url)).command("DROP DATABASE IF EXISTS db_later", database="default")


def test_nothing_is_stored_before_the_schema_is_there(settings: WarehouseSettings) -> None:
    later = Warehouse(settings, require_migrated)
    for _ in range(2):
        with pytest.raises(WarehouseAway, match="waits for migration"):
            later.rows("SELECT count() AS n FROM frames")
    other = Warehouse.connect(settings)
    migrate(other)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(later.rows, "SELECT count() AS n FROM frames") for _ in range(16)]
    assert [answer.result() for answer in asked] == [[{"n": 0}]] * 16
    later.close()
    other.close()


def test_an_address_where_nobody_is_is_away_when_used_and_not_before() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        later = Warehouse(WarehouseSettings(url=f"http://127.0.0.1:{free.getsockname()[1]}"))
        with pytest.raises(WarehouseAway):
            later.rows("SELECT 1")
        later.close()
    with pytest.raises(ConfigError, match="no URL"):
        Warehouse(WarehouseSettings(url="nowhere"))
