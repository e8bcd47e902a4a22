"""One shard on the real engine for all tests of the folder that need one; each test has a fleet of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_process import HostProcess
from serve_shard_platform import ShardPlatform

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings


@pytest.fixture(scope="session")
def shard_platform(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShardPlatform]:
    settings = WarehouseSettings(url=host.url, database="db_serve", storage_policy="hot_cold")
    warehouse = Warehouse.connect(settings)
    migrate(warehouse)
    platform = ShardPlatform(tmp_path_factory.mktemp("shard"), warehouse=warehouse)
    yield platform
    platform.shard.close()
    warehouse.close()
