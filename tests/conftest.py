"""One embedded ClickHouse for all tests, and no test that a slow machine fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_process import HostProcess
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

OWN_PLATFORM = ("test_partition_away.py", "test_supervision.py")
"""Files of tests/platform that break their platform, and share another one."""


class TogetherScheduling(LoadScopeScheduling):
    """Which tests stay together in one process: those of a file, and those that share a platform of tests/platform.

    Written here because xdist's own groups (`--dist loadgroup`, 3.8) do nothing with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        folder, _, name = nodeid.partition("::")[0].rpartition("/")
        if not folder.startswith("tests/platform"):
            return name
        return "own" if name in OWN_PLATFORM else "platform"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    config.option.loadscopereorder = False
    return TogetherScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts platforms comes first, so that small files are left to fill the end with."""
    items.sort(key=lambda item: item.get_closest_marker("platform") is None)


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
