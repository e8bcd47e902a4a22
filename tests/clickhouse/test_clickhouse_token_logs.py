"""An insert that is sent again under its token is stored once, wherever a power cut or a kill had met it."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clickhouse_process import HostProcess
from clickhouse_rows import canonical_frames, frame_rows, signal_rows, store
from loop_disk import LoopDisk

from actors.clickhouse_host.token_logs import TokenLogs
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import Writer
from pipeline.errors import WarehouseError

_FRAMES = 5_000
_COUNTS = """
    SELECT (SELECT count() FROM frames) AS frames, (SELECT count() FROM signals) AS signals,
        (SELECT sum(count) FROM signals_1m) AS minutes, (SELECT sum(count) FROM signals_1h) AS hours,
        (SELECT sum(count) FROM fleet_signals_1h) AS fleet_hours
"""


def connected(host: HostProcess) -> Warehouse:
    return Warehouse.connect(WarehouseSettings(url=host.url, storage_policy="hot_cold"))


def insert(warehouse: Warehouse, number: int) -> None:
    """One of several inserts, each into several partitions and through the views that follow."""
    writer = Writer(warehouse)
    writer.insert_frames(frame_rows(canonical_frames(_FRAMES, number, counted=False)), f"frames {number}")
    store(writer, signal_rows(_FRAMES, number, bad=0, span_s=3 * 86_400), f"signals {number}")


def once(inserts: int) -> list[dict[str, int]]:
    names = ("frames", "signals", "minutes", "hours", "fleet_hours")
    return [dict.fromkeys(names, inserts * _FRAMES)]


def test_what_is_sent_again_after_a_power_cut_counts_once(disk: LoopDisk) -> None:
    host = HostProcess(disk.folder / "clickhouse")
    warehouse = connected(host)
    migrate(warehouse)
    os.sync()  # the tables are older than what is inserted now
    for number in range(2):
        insert(warehouse, number)
    with cut_off(host, disk, after_s=0.1):
        try:
            insert(warehouse, 2)
        except WarehouseError:
            warehouse.close()
    again = HostProcess(disk.folder / "clickhouse")
    warehouse = connected(again)
    for number in range(4):
        insert(warehouse, number)
    assert warehouse.rows(_COUNTS) == once(4)
    warehouse.close()
    assert again.terminate()[0] == 0


@contextmanager
def cut_off(host: HostProcess, disk: LoopDisk, after_s: float) -> Iterator[None]:
    """Cut the power some time into the block; it is back when the block has ended."""
    saved = []

    def cut() -> None:
        time.sleep(after_s)
        host.process.send_signal(signal.SIGSTOP)
        saved.append(disk.save())
        host.kill()

    cutting = threading.Thread(target=cut)
    cutting.start()
    yield
    cutting.join()
    disk.restore(saved[0])


def test_a_token_whose_part_never_got_its_name_holds_nothing_up(tmp_path: Path) -> None:
    """As a kill leaves it between ClickHouse's note of the token and its renaming of the part."""
    host = HostProcess(tmp_path)
    warehouse = connected(host)
    migrate(warehouse)
    insert(warehouse, 0)
    insert(warehouse, 1)
    newest = "SELECT path FROM system.parts WHERE active AND table = {table:String} ORDER BY modification_time"
    lost = [warehouse.rows(newest, {"table": table})[-1]["path"] for table in ("frames", "signals_1h_states")]
    warehouse.close()
    host.kill()
    for part in lost:
        shutil.rmtree(part)
    again = HostProcess(tmp_path)
    warehouse = connected(again)
    assert warehouse.rows(_COUNTS)[0]["frames"] < 2 * _FRAMES
    insert(warehouse, 1)
    assert warehouse.rows(_COUNTS) == once(2)
    warehouse.close()
    assert again.terminate()[0] == 0


ONE, TWO = "1\t202311_1_1_0\t202311_5_6\n", "1\t202311_2_2_0\t202311_7_8\n"


@pytest.mark.parametrize(
    ("held", "parts", "kept"),
    [
        ("", [], ""),
        (ONE + TWO, ["202311_1_1_0", "202311_2_2_0"], ONE + TWO),
        (ONE + TWO, ["202311_1_1_0"], ONE),
        (ONE + TWO, ["202311_1_1_0", "202312_2_2_0", "tmp_insert_202311_2_2_0", "detached"], ONE),
        (ONE + TWO, ["202311_1_4_1"], ONE + TWO),
        (ONE + TWO, ["202311_1_4_1_9"], ONE + TWO),
        (ONE + TWO, [], ONE),
        (ONE + TWO + "1\t202311_2_2_0\t202311_9_9\n", ["202311_1_1_0"], ONE),
        (ONE + TWO[:-1], ["202311_1_1_0", "202311_2_2_0"], ONE),
        (ONE + "\0" * 40, ["202311_1_1_0"], ONE),
        (ONE + "2\t202311_1_1_0\t202311_5_6\n", [], ONE + "2\t202311_1_1_0\t202311_5_6\n"),
        ("1\t1-2_7_7_0\t1-2_5_6\n", ["1-2_7_7_0"], "1\t1-2_7_7_0\t1-2_5_6\n"),
    ],
)
@pytest.mark.parametrize("cold", [False, True])
def test_only_a_last_token_without_its_part_is_taken_off(
    tmp_path: Path, held: str, parts: list[str], kept: str, cold: bool
) -> None:
    hot, other = tmp_path / "hot", tmp_path / "cold"
    table = Path("store", "abc", "abc-uuid")
    path = hot / table / "deduplication_logs" / "deduplication_log_9.txt"
    path.parent.mkdir(parents=True)
    path.write_text(held)
    (path.parent / "deduplication_log_10.txt").touch()
    for part in parts:
        ((other if cold else hot) / table / part).mkdir(parents=True)
    TokenLogs([hot, other]).mend()
    assert path.read_text() == kept
