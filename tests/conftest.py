"""One embedded ClickHouse for all tests, and no test that a slow machine fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_process import HostProcess
from hypothesis import settings

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two groups for `--dist loadgroup`: what shares the platforms of tests/platform, and what brings its own."""
    for item in items:
        group = "platform" if "platform" in item.path.relative_to(Path(__file__).parent).parts else "own"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    running = HostProcess(tmp_path_factory.mktemp("clickhouse"))
    yield running
    assert running.terminate() == (0, "")


@pytest.fixture
def warehouse(host: HostProcess, request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """A migrated database of the test's own."""
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)
    settings = WarehouseSettings(url=host.url, database=f"db_{name}", storage_policy="hot_cold")
    connected = Warehouse.connect(settings)
    migrate(connected)
    yield connected
    connected.close()
