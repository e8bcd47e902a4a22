"""One embedded ClickHouse for all tests of the folder, in a process of its own as in production."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings

ROOT = Path(__file__).parents[2]


class HostProcess:
    """`python -m actors.clickhouse_host` on a free port."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "actors.clickhouse_host", "--data-dir", str(data_dir), "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def finish(self) -> tuple[int, str]:
        """Wait for the end; exit status and what it wrote to stderr."""
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors

    def terminate(self) -> tuple[int, str]:
        self.process.terminate()
        return self.finish()

    def kill(self) -> None:
        self.process.kill()
        self.finish()


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
