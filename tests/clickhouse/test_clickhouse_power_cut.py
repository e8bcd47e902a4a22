"""What ClickHouse has confirmed outlives a power cut: the journal forgets it soon."""

from __future__ import annotations

import os

from clickhouse_process import HostProcess
from clickhouse_rows import canonical_frames, frame_rows, signal_rows, store
from loop_disk import LoopDisk

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import Writer

_COUNTS = "SELECT (SELECT count() FROM frames) AS frames, (SELECT count() FROM signals) AS signals"


def connected(host: HostProcess) -> Warehouse:
    return Warehouse.connect(WarehouseSettings(url=host.url, storage_policy="hot_cold"))


def test_confirmed_inserts_outlive_a_power_cut(disk: LoopDisk) -> None:
    host = HostProcess(disk.folder / "clickhouse")
    warehouse = connected(host)
    migrate(warehouse)
    os.sync()  # the tables are older than what is inserted now
    writer = Writer(warehouse)
    for number in range(3):
        store(writer, signal_rows(20_000, number), f"signals {number}")
        writer.insert_frames(frame_rows(canonical_frames(20_000, number, counted=False)), f"frames {number}")
    before = warehouse.rows(_COUNTS)
    saved = disk.save()
    warehouse.close()
    host.kill()
    disk.restore(saved)
    again = HostProcess(disk.folder / "clickhouse")
    warehouse = connected(again)
    assert warehouse.rows(_COUNTS) == before == [{"frames": 60_000, "signals": 60_000}]
    warehouse.close()
    assert again.terminate() == (0, "")


def test_what_is_not_synced_does_not_outlive_it(disk: LoopDisk) -> None:
    """That this disk loses what a power cut would take, without which the test above could not fail."""
    synced = disk.folder / "synced"
    with synced.open("wb") as file:
        file.write(b"there")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(disk.folder, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    (disk.folder / "written").write_bytes(b"gone" * 1000)
    disk.restore(disk.save())
    assert synced.read_bytes() == b"there"
    written = disk.folder / "written"
    assert not written.exists() or written.read_bytes() != b"gone" * 1000
