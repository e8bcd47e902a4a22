"""One filled database for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator

import grafana_feed
import httpx
import pytest
from clickhouse_process import HostProcess

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings

DATABASE = "grafana"


@pytest.fixture(scope="session")
def filled(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client that asks the filled database as the data source does, user and database included."""
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database=DATABASE, storage_policy="hot_cold"))
    migrate(warehouse)
    grafana_feed.fill(tmp_path_factory.mktemp("grafana"), warehouse)
    parameters = {"database": DATABASE, "limit": "1000000"}
    with httpx.Client(base_url=host.url, params=parameters, auth=("dashboards", ""), timeout=60) as client:
        yield client
    warehouse.close()
