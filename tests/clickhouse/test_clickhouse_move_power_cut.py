"""A part that was moved to the cold volume outlives a power cut that finds it gone from the hot one."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from clickhouse_process import HostProcess
from clickhouse_rows import signal_rows, store
from loop_disk import LoopDisk
from s3_emulator import CREDENTIALS, S3Emulator

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import Writer

_PARTS = """
    SELECT partition, path FROM system.parts
    WHERE database = currentDatabase() AND table = 'signals' AND active
"""


def connected(host: HostProcess) -> Warehouse:
    return Warehouse.connect(WarehouseSettings(url=host.url, storage_policy="hot_cold"))


def commit(folder: Path) -> None:
    """Make every change of names on this disk durable, and no file's content but this one's."""
    with (folder / "committed").open("wb") as file:
        file.write(b"x")
        os.fsync(file.fileno())


def moved_before_the_cut(disk: LoopDisk, arguments: list[str], *, through: bool) -> int:
    """Rows that are there after the power came back; `through`: with the cold folder's flag."""
    data = disk.folder / "clickhouse"
    host = HostProcess(data, *arguments)
    warehouse = connected(host)
    if not through:
        subprocess.run(["chattr", "-R", "-S", str(data)], check=True)
    migrate(warehouse)
    store(Writer(warehouse), signal_rows(20_000, 1), "all")
    os.sync()
    parts = warehouse.rows(_PARTS)
    for row in {row["partition"]: row for row in parts}.values():
        warehouse.command(f"ALTER TABLE signals MOVE PARTITION '{row['partition']}' TO VOLUME 'cold'")
    deadline = time.monotonic() + 60
    while any(Path(row["path"]).exists() for row in parts):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    commit(disk.folder)
    saved = disk.save()
    warehouse.close()
    host.kill()
    disk.restore(saved)
    again = HostProcess(data, *arguments)
    warehouse = connected(again)
    rows = warehouse.rows("SELECT toInt64(count()) AS n FROM signals")[0]["n"]
    warehouse.close()
    again.terminate()
    return int(rows)


def test_with_a_folder(disk: LoopDisk) -> None:
    assert moved_before_the_cut(disk, [], through=True) == 20_000


def test_with_an_object_store(disk: LoopDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    emulator = S3Emulator()
    assert moved_before_the_cut(disk, ["--cold-s3", emulator.url], through=True) == 20_000
    emulator.stop()


def test_without_the_flag_it_would_be_lost(disk: LoopDisk) -> None:
    """Without which the tests above could not fail."""
    assert moved_before_the_cut(disk, [], through=False) == 0
