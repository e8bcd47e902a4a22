"""One filled database for all tests of the folder, and `canfleet` run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
import sql_feed
from clickhouse_process import HostProcess
from sql_command import Done

from canfleet.__main__ import main
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings


@pytest.fixture(scope="session")
def filled(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The simulated fleet's data, in the database `cookbook`."""
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database="cookbook", storage_policy="hot_cold"))
    migrate(warehouse)
    sql_feed.fill(tmp_path_factory.mktemp("cookbook"), warehouse)
    yield warehouse
    warehouse.close()


@pytest.fixture
def run(
    host: HostProcess, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Done]:
    """`canfleet sql …` on the engine's database `default`, as the console script runs it."""
    monkeypatch.setenv("CANFLEET_CLICKHOUSE", host.url)
    monkeypatch.setenv("CANFLEET_CLICKHOUSE_DATABASE", "default")

    def once(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["canfleet", "sql", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, errors = capfdbinary.readouterr()
        return Done(code, out, errors.decode())

    return once
