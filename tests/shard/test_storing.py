"""Storing when things go wrong: a backlog beside fresh data, rows that ClickHouse refuses, a disk that fails."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_process import HostProcess
from hypothesis import given
from hypothesis import strategies as st
from shard_feed import RECEIVED_US, batches, settle, shard, stored, submission, uncounted

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.errors import WarehouseAway, WarehouseError
from pipeline.shard.commit import Receipt
from pipeline.shard.refusal import bad_rows
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode

POISON_ID = 0x321


def process_all(one: Shard) -> None:
    while one.process_next(wait=False):
        pass


def newest_stored(warehouse: Warehouse) -> int:
    [row] = warehouse.rows("SELECT toUnixTimestamp64Micro(max(f.timestamp)) AS t FROM frames AS f")
    return int(row["t"])


def newest(batch: pa.RecordBatch) -> int:
    return int(np.max(batch.column("timestamp").cast(pa.int64()).to_numpy()))


SMALL_CACHE = {"shard.max_cached_bytes": 60_000, "shard.flush_values": 1500, "shard.flush_interval_s": 0.0}
"""So small that most of twenty batches must come back from the journal."""


def poisoned(batch: pa.RecordBatch, rows: list[int]) -> pa.RecordBatch:
    ids = batch.column("arbitration_id").to_numpy().copy()
    ids[rows] = POISON_ID
    position = batch.schema.get_field_index("arbitration_id")
    return batch.set_column(position, batch.schema.field(position), pa.array(ids))


def test_fresh_frames_go_before_a_backlog_and_both_arrive_once(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path / "one", warehouse, **SMALL_CACHE)
    sent = batches(20)
    for batch in sent:
        one.commit([submission(batch)])
        process_all(one)
    assert one._storer.waiting.has_backlog, "the cache must have been too small"
    assert one.store_next()
    assert newest_stored(warehouse) == newest(sent[-1])
    assert stored(warehouse)["frames"] < sum(map(len, sent)) / 2
    one.checkpoint()
    # What a crash leaves while some of the middle is stored: the files as they are now.
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = shard(tmp_path / "two", warehouse, **SMALL_CACHE)
    more = batches(2, seed=3, vehicles=30)
    two.commit([submission(batch, fleet="other") for batch in more])
    settle(two)
    counts = stored(warehouse)
    assert counts["frames"] == sum(map(len, sent + more))
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    assert two.ledger.total().pending == 0
    assert two.close()


def test_a_vehicle_met_while_the_next_insert_is_taken_has_its_name(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shard(tmp_path, warehouse)
    first, second = batches(1, vehicles=5)[0], batches(1, vehicles=30, seed=4)[0]
    one.commit([submission(first)])
    process_all(one)
    take = one._storer.waiting.next

    def meanwhile() -> Any:
        monkeypatch.undo()
        one.commit([submission(second, fleet="other")])
        process_all(one)
        return take()

    monkeypatch.setattr(one._storer.waiting, "next", meanwhile)
    assert one.store_next()
    settle(one)
    assert stored(warehouse)["frames"] == len(first) + len(second)
    assert one.close()


def test_a_restart_between_fresh_inserts_stores_the_gap(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path / "one", warehouse, **SMALL_CACHE)
    sent = batches(20)
    for batch in sent:
        one.commit([submission(batch)])
        process_all(one)
        if batch is sent[12]:
            assert one.store_next()
    assert one.store_next()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = shard(tmp_path / "two", warehouse)
    settle(two)
    counts = stored(warehouse)
    assert counts["frames"] == counts["distinct_frames"] == sum(map(len, sent))
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    assert two.ledger.total().stored == sum(map(len, sent))
    assert two.close()


def test_a_fresh_frame_that_may_be_a_duplicate_waits_for_the_backlog(tmp_path: Path, warehouse: Warehouse) -> None:
    overrides = {"shard.max_cached_bytes": 60_000, "shard.flush_interval_s": 0.0}
    one = shard(tmp_path, warehouse, duplicates={"content_entries": 1024}, **overrides)
    sent = [uncounted(batch) for batch in batches(30, vehicles=50)]
    for batch in sent:
        one.commit([submission(batch)])
        process_all(one)
    [again] = one.commit([submission(sent[0])])
    assert again.accepted > 0, "the window must be too small for this test to mean anything"
    settle(one)
    counts = stored(warehouse)
    assert counts["frames"] == counts["distinct_frames"] == sum(map(len, sent))
    assert counts["signals"] == counts["minutes"]
    assert one.close()


def test_a_frame_and_its_late_copy_in_one_insert_are_one(tmp_path: Path, warehouse: Warehouse) -> None:
    for name, prepare in (("plain", uncounted), ("counted", lambda batch: batch)):
        one = shard(tmp_path / name, warehouse, duplicates={"content_entries": 1024, "window_bits": 64, "sessions": 1})
        sent = [prepare(batch) for batch in batches(30, vehicles=50)]
        late = 0
        for batch in [*sent, sent[0], sent[0]]:
            [receipt] = one.commit([submission(batch, fleet=name)])
            late += receipt.accepted
            process_all(one)
        assert late > sum(map(len, sent)), "the window must be too small for this test to mean anything"
        settle(one)
        [row] = warehouse.rows("SELECT count() AS n FROM frames WHERE fleet = {fleet:String}", {"fleet": name})
        assert row["n"] == sum(map(len, sent))
        ledger = one.ledger.of(name)
        assert (ledger.pending, ledger.stored) == (0, sum(map(len, sent)))
        assert one.close()


@pytest.mark.parametrize("crash", [False, True])
def test_frames_that_clickhouse_refuses_become_dead_letters_and_the_rest_goes_in(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, crash: bool
) -> None:
    warehouse.command(f"ALTER TABLE frames ADD CONSTRAINT no_poison CHECK arbitration_id != {POISON_ID}")
    one = shard(tmp_path / "one", warehouse)
    sent = batches(3)
    bad = [poisoned(sent[0], [0, 7, 8]), sent[1], poisoned(sent[2], [len(sent[2]) - 1])]
    for batch in bad:
        one.commit([submission(batch)])
    process_all(one)
    if crash:
        shutil.copytree(tmp_path / "one", tmp_path / "before")

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(one._storer._writer, "insert_signals", die)
        with pytest.raises(KeyboardInterrupt):
            one.store_next()
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        one = shard(tmp_path / "two", warehouse)
    settle(one)
    counts = stored(warehouse)
    total = sum(map(len, sent))
    assert counts["frames"] == counts["distinct_frames"] == total - 4
    assert counts["dead_letters"] == 4
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    letters = warehouse.rows("SELECT stage, reason, payload FROM dead_letters")
    assert {(row["stage"], row["reason"]) for row in letters} == {("store", "refused_by_clickhouse")}
    assert all(f'"arbitration_id":{POISON_ID}' in row["payload"] for row in letters)
    ledger = one.ledger.of("default")
    assert (ledger.received, ledger.accepted, ledger.dead_lettered, ledger.pending) == (total, total - 4, 4, 0)
    assert one.close()


def test_a_refused_frame_that_is_sent_again_to_be_verified_is_stored_once(tmp_path: Path, warehouse: Warehouse) -> None:
    warehouse.command(f"ALTER TABLE frames ADD CONSTRAINT no_poison CHECK arbitration_id != {POISON_ID}")
    one = shard(tmp_path, warehouse)
    [batch] = batches(1)
    bad = poisoned(batch, [0, 5])
    one.commit([submission(bad)])
    settle(one)
    assert stored(warehouse)["frames"] == len(batch) - 2
    warehouse.command("ALTER TABLE frames DROP CONSTRAINT no_poison")
    again = encode(Submission("default", RECEIVED_US, "replay", bad, verify=True))
    assert one.commit([submission(bad)]) == [Receipt(0, len(bad), 0)]
    assert one.commit([again, again]) == [Receipt(len(bad), 0, 0)] * 2
    settle(one)
    counts = stored(warehouse)
    assert counts["frames"] == counts["distinct_frames"] == len(bad)
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    ledger = one.ledger.of("default")
    assert ledger.received == ledger.accepted + ledger.duplicates + ledger.dead_lettered
    assert (ledger.stored, ledger.pending) == (len(bad), 0)
    assert one.close()


def test_values_that_clickhouse_refuses_become_dead_letters_and_their_frames_stay(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    warehouse.command("ALTER TABLE signals ADD CONSTRAINT no_gear CHECK signal != 'Gear'")
    one = shard(tmp_path, warehouse)
    sent = batches(2)
    one.commit([submission(batch) for batch in sent])
    settle(one)
    counts = stored(warehouse)
    assert counts["frames"] == sum(map(len, sent))
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    [row] = warehouse.rows("SELECT payload FROM dead_letters LIMIT 1")
    assert '"signal":"Gear"' in row["payload"]
    assert one.ledger.of("default").pending == 0
    assert one.close()


def test_a_table_that_refuses_everything_is_no_poison_batch(tmp_path: Path, warehouse: Warehouse) -> None:
    warehouse.command("ALTER TABLE frames ADD CONSTRAINT nothing CHECK arbitration_id > 0xFFFFFFF0")
    one = shard(tmp_path, warehouse)
    [batch] = batches(1)
    one.commit([submission(batch)])
    process_all(one)
    for _ in range(2):
        with pytest.raises(WarehouseError):
            one.store_next()
    assert stored(warehouse)["dead_letters"] == 0
    warehouse.command("ALTER TABLE frames DROP CONSTRAINT nothing")
    settle(one)
    assert stored(warehouse)["frames"] == len(batch)
    assert one.close()


@given(n=st.integers(0, 200), bad=st.sets(st.integers(0, 199)), most=st.integers(0, 250))
def test_bisection_finds_exactly_the_bad_rows(n: int, bad: set[int], most: int) -> None:
    wanted = sorted(row for row in bad if row < n)
    asked = 0

    def accepts(start: int, end: int) -> bool:
        nonlocal asked
        asked += 1
        return not any(start <= row < end for row in bad)

    found = bad_rows(n, accepts, most)
    if len(wanted) > most:
        assert found is None
    else:
        assert found is not None
        assert found.tolist() == wanted
        assert asked <= 1 + 2 * len(wanted) * (max(n, 1).bit_length())


def test_an_absent_clickhouse_is_asked_ever_less_and_found_again(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    host = HostProcess(tmp_path / "clickhouse", "--port", port)
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url))
    migrate(warehouse)
    one = shard(tmp_path, warehouse)
    first, second = batches(2)
    one.commit([submission(first)])
    settle(one)
    host.kill()
    one.commit([submission(second)])
    process_all(one)
    for _ in range(5):
        with pytest.raises(WarehouseAway):
            one.store_next()
    assert one._storer.breaker.wait_s() > 0
    with pytest.raises(WarehouseAway, match="asked again"):
        one.store_next()
    assert one.latest("default", "veh-00003") is not None
    again = HostProcess(tmp_path / "clickhouse", "--port", port)
    while one._storer.breaker.wait_s():
        time.sleep(0.01)
    settle(one)
    assert stored(warehouse)["frames"] == len(first) + len(second)
    assert one.close()
    warehouse.close()
    assert again.terminate() == (0, "")


def test_a_failing_disk_stops_neither_the_loops_nor_what_comes_after_it(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shard(tmp_path, warehouse, **{"shard.flush_interval_s": 0.02, "shard.checkpoint_interval_s": 0.05})
    one.loops.start()
    first, second = batches(2)
    real = os.fdatasync

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "the disk fails")

    one.commit([submission(first)])
    monkeypatch.setattr(os, "fdatasync", refuse)
    while one.store_error is None:
        time.sleep(0.005)
    assert "the disk fails" in one.store_error
    monkeypatch.setattr(os, "fdatasync", real)
    one.commit([submission(second)])
    while one.ledger.of("default").pending:
        time.sleep(0.01)
    assert stored(warehouse)["frames"] == len(first) + len(second)
    assert one.close()


def test_frames_that_no_database_decodes_do_not_hold_the_journal(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    [batch] = batches(1)
    unknown = poisoned(batch, list(range(len(batch))))
    one.commit([submission(unknown)])
    settle(one)
    assert one._storer.needed_from(one._processed_to) == one._processed_to
    assert one.close()
