"""A shard from commit to ClickHouse, driven step by step against the real engine."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from shard_feed import batches, settle, shard, stored, submission, uncounted

from pipeline.clickhouse.client import Warehouse
from pipeline.errors import Overloaded, WarehouseError
from pipeline.journal.log import Journal
from pipeline.journal.tenure import current
from pipeline.lanes.lane import Lane
from pipeline.shard import records
from pipeline.shard.commit import Receipt


def test_frames_values_and_rollups_arrive_once(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    sent = batches(5)
    for batch in sent:
        assert one.commit([submission(batch)]) == [Receipt(len(batch), 0, 0)]
    settle(one)
    counts = stored(warehouse)
    total = sum(len(batch) for batch in sent)
    assert counts["frames"] == counts["distinct_frames"] == total
    assert counts["signals"] == counts["minutes"] == counts["hours"] > total
    assert one.summary("default")["ledger"] == {
        "received": total,
        "accepted": total,
        "duplicates": 0,
        "dead_lettered": 0,
        "stored": total,
        "pending": 0,
        "forgotten": 0,
    }
    assert one.close()


def test_stored_frames_equal_sent_ones(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    [batch] = batches(1)
    one.commit([submission(batch)])
    settle(one)
    columns = ["vehicle_id", "timestamp", "session", "sequence", "channel", "arbitration_id", "is_extended", "data"]
    names = ", ".join(columns).replace("data", "lower(hex(data)) AS data")
    found = warehouse.arrow(f"SELECT {names} FROM frames ORDER BY vehicle_id, sequence").to_pylist()
    wanted = sorted(batch.select(columns).to_pylist(), key=lambda row: (row["vehicle_id"], row["sequence"]))
    for row in wanted:
        row["data"] = row["data"].hex()
    assert found == wanted
    assert one.close()


def test_a_frame_is_accepted_once_across_groups_within_a_group_and_per_fleet(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    one = shard(tmp_path, warehouse)
    first, second = batches(2)
    n, m = len(first), len(second)
    assert one.commit([submission(first), submission(first)]) == [Receipt(n, 0, 0), Receipt(0, n, 0)]
    both = pa.Table.from_batches([first, second]).combine_chunks().to_batches()[0]
    assert one.commit([submission(both)]) == [Receipt(m, n, 0)]
    assert one.commit([submission(first, fleet="other")]) == [Receipt(n, 0, 0)]
    settle(one)
    assert stored(warehouse)["frames"] == 2 * n + m
    assert one.ledger.of("default").as_dict() | {"pending": 0} == {
        "received": 3 * n + m,
        "accepted": n + m,
        "duplicates": 2 * n,
        "dead_lettered": 0,
        "stored": n + m,
        "pending": 0,
        "forgotten": 0,
    }
    assert one.ledger.of("other").stored == n
    assert one.close()


def test_dead_letters_are_kept_with_their_reason(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    [batch] = batches(1)
    assert one.commit([submission(batch, reasons=("data_too_long", "vehicle_id_empty"))]) == [Receipt(len(batch), 0, 2)]
    assert one.commit([submission(batch.slice(0, 0), reasons=("data_too_long",))]) == [Receipt(0, 0, 1)]
    settle(one)
    rows = warehouse.rows("SELECT fleet, reason, count() AS n FROM dead_letters GROUP BY ALL ORDER BY reason")
    assert [(row["fleet"], row["reason"], row["n"]) for row in rows] == [
        ("default", "data_too_long", 2),
        ("default", "vehicle_id_empty", 1),
    ]
    assert one.ledger.of("default").dead_lettered == 3
    assert one.close()


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_crash_loses_nothing_and_doubles_nothing(tmp_path: Path, warehouse: Warehouse, checkpointed: bool) -> None:
    one = shard(tmp_path / "one", warehouse)
    sent = batches(8)
    for batch in sent[:3]:
        one.commit([submission(batch)])
    settle(one)
    if checkpointed:
        one.checkpoint()
    for batch in sent[3:]:
        one.commit([submission(batch)])
    while one.process_next(wait=False):
        pass
    before = one.latest("default", "veh-00003"), one.summary("default"), one.vehicle_list("default")
    # What a crash leaves: the files as they are now.
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = shard(tmp_path / "two", warehouse)
    while two.process_next(wait=False):
        pass
    after = two.latest("default", "veh-00003"), two.summary("default"), two.vehicle_list("default")
    before[1]["frames_per_second"] = after[1]["frames_per_second"] = 0
    np.testing.assert_equal(after, before)
    assert two.commit([submission(batch) for batch in sent]) == [Receipt(0, len(batch), 0) for batch in sent]
    settle(two)
    counts = stored(warehouse)
    assert counts["frames"] == counts["distinct_frames"] == sum(len(batch) for batch in sent)
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    assert two.ledger.of("default").pending == 0
    assert two.close()


@pytest.mark.parametrize("inserted", ["frames", "frames and signals"])
def test_an_insert_cut_off_by_a_crash_is_finished_with_the_same_token(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, inserted: str
) -> None:
    one = shard(tmp_path / "one", warehouse)
    sent = batches(4)
    one.commit([submission(batch) for batch in sent])
    one.process_next(wait=False)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    if inserted == "frames":
        monkeypatch.setattr(one._storer._writer, "insert_signals", crash)
    else:
        monkeypatch.setattr(one._storer, "_stored", crash)
    with pytest.raises(KeyboardInterrupt):
        one.store_next()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = shard(tmp_path / "two", warehouse)
    assert two._storer.open_intent is not None
    more = batches(2, seed=7, vehicles=30)
    two.commit([submission(batch, fleet="other") for batch in more])
    settle(two)
    counts = stored(warehouse)
    assert counts["frames"] == sum(len(batch) for batch in sent + more)
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    assert two.ledger.total().pending == 0
    assert two.close()


def test_frames_behind_the_duplicate_window_are_looked_up_before_they_are_stored(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    one = shard(tmp_path, warehouse, duplicates={"content_entries": 1024})
    sent = [uncounted(batch) for batch in batches(30, vehicles=50)]
    for batch in sent:
        one.commit([submission(batch)])
        settle(one)
    [again] = one.commit([submission(sent[0])])
    assert again.accepted > 0, "the window must be too small for this test to mean anything"
    [fresh] = one.commit([submission(uncounted(batches(1, vehicles=50, seed=9)[0]))])
    assert fresh.accepted > 0
    settle(one)
    counts = stored(warehouse)
    total = sum(len(batch) for batch in sent) + fresh.accepted
    assert counts["frames"] == counts["distinct_frames"] == total
    assert counts["signals"] == counts["minutes"]
    ledger = one.ledger.of("default")
    assert ledger.accepted == ledger.stored == total
    assert ledger.received == ledger.accepted + ledger.duplicates
    assert one.close()


def test_rows_beyond_the_cache_come_back_from_the_journal(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse, **{"shard.max_cached_bytes": 20_000})
    sent = batches(10)
    for batch in sent:
        one.commit([submission(batch)])
    settle(one)
    counts = stored(warehouse)
    assert counts["frames"] == sum(len(batch) for batch in sent)
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    assert one.close()


def test_too_much_unprocessed_is_refused_and_nothing_of_it_accepted(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse, **{"shard.max_unprocessed_bytes": 1})
    first, second = batches(2)
    one.commit([submission(first)])
    for lane in Lane:
        with pytest.raises(Overloaded):
            one.admission.check(lane)
    one.process_next(wait=False)
    one.admission.check(Lane.BACKFILL)
    assert one.commit([submission(second)]) == [Receipt(len(second), 0, 0)]
    settle(one)
    assert stored(warehouse)["frames"] == len(first) + len(second)
    assert one.close()


def test_a_refused_insert_is_kept_and_sent_again(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shard(tmp_path, warehouse)
    sent = batches(3)
    one.commit([submission(batch) for batch in sent])
    one.process_next(wait=False)
    warehouse.command("RENAME TABLE signals TO elsewhere")
    with pytest.raises(WarehouseError):
        one.store_next()
    assert one.ledger.of("default").pending == sum(len(batch) for batch in sent)
    warehouse.command("RENAME TABLE elsewhere TO signals")
    settle(one)
    counts = stored(warehouse)
    assert counts["frames"] == sum(len(batch) for batch in sent)
    assert counts["signals"] == counts["minutes"]
    assert one.close()


def test_the_journal_is_cut_behind_two_checkpoints(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    for batch in batches(3):
        one.commit([submission(batch)])
        settle(one)
        one.checkpoint()
    kinds = [record.kind for record in one._journal.read(one._journal.start)]
    assert kinds.count(records.SUBMISSION) == 3, "a segment is dropped whole, this one is still in use"
    assert one.close()
    with Journal.open(current(tmp_path / "shards" / "0") / "journal") as journal:
        assert journal.report.cut_bytes == 0


def test_loops_do_the_same_by_themselves(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse, **{"shard.flush_interval_s": 0.05})
    one.loops.start()
    sent = batches(6)
    for batch in sent:
        one.commit([submission(batch)])
    assert one.close()
    assert stored(warehouse)["frames"] == sum(len(batch) for batch in sent)


@pytest.mark.parametrize("crash_at", ["gathering", "announced", "inserted"])
def test_rollups_that_a_crash_cut_off_are_finished_once(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, crash_at: str
) -> None:
    monkeypatch.setattr("pipeline.shard.rollups._SMALL", 0)
    monkeypatch.setattr("pipeline.shard.rollups._SLICE", 500)
    overrides = {"duplicates": {"content_entries": 1024}}
    one = shard(tmp_path / "one", warehouse, **overrides)
    sent = [uncounted(batch) for batch in batches(30, vehicles=50)]
    for batch in [*sent, sent[0]]:
        one.commit([submission(batch)])
        one.process_next(wait=False)
        assert one.store_next()
        if batch is sent[10]:
            one.checkpoint()
    total = sum(len(batch) for batch in sent)
    assert one.ledger.of("default").duplicates > 0, "no late duplicate: the window is too large for this test"
    before = stored(warehouse)
    assert before["frames"] == total
    assert before["minutes"] == 0, "the rollups must still be gathering"

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if crash_at == "announced":
        monkeypatch.setattr(one._storer._writer, "insert_minutes", crash)
    if crash_at == "inserted":
        insert = one._storer._writer.insert_minutes
        monkeypatch.setattr(one._storer._writer, "insert_minutes", lambda rows, token: (insert(rows, token), crash()))
    if crash_at != "gathering":
        with pytest.raises(KeyboardInterrupt):
            one.store_next()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = shard(tmp_path / "two", warehouse, **overrides)
    settle(two)
    counts = stored(warehouse)
    assert counts["frames"] == total
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    assert two.close()


def test_checkpoints_are_written_while_frames_flow(tmp_path: Path, warehouse: Warehouse) -> None:
    overrides = {"shard.flush_interval_s": 0.02, "shard.checkpoint_interval_s": 0.05}
    one = shard(tmp_path / "one", warehouse, **overrides)
    one.loops.start()
    sent = batches(40)
    for batch in sent:
        one.commit([submission(batch)])
        while one.ledger.of("default").pending:
            time.sleep(0.005)
    folder = current(tmp_path / "one" / "shards" / "0")
    assert len(list(folder.glob("*.checkpoint"))) == 2, "no checkpoint was written while frames came"
    assert one.close()
    two = shard(tmp_path / "one", warehouse, **overrides)
    assert two.commit([submission(batch) for batch in sent]) == [Receipt(0, len(batch), 0) for batch in sent]
    settle(two)
    counts = stored(warehouse)
    assert counts["frames"] == sum(len(batch) for batch in sent)
    assert counts["signals"] == counts["minutes"] == counts["hours"]
    assert two.close()
