"""Ledger and sequence gaps of a shard: late duplicates, older sessions, crashes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from shard_feed import RECEIVED_US, batches, settle, shard, stored, submission, uncounted

from pipeline.clickhouse.client import Warehouse
from pipeline.gaps.sequence_gaps import VehicleGaps
from pipeline.shard.ledger import HOUR_US, Tally
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode

OVERRIDES = {"duplicates": {"window_bits": 64, "sessions": 1}}
"""Little enough that most of what comes late is left to the warehouse."""


def session_of(batch: pa.RecordBatch, session: int, first: int) -> pa.RecordBatch:
    """A batch of one vehicle, numbered `first`, `first + 1`, … in `session`."""
    n = len(batch)
    columns = {
        "session": pa.array([session] * n, pa.uint32()),
        "sequence": pa.array(range(first, first + n), pa.uint64()),
    }
    for name, column in columns.items():
        batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), column)
    return batch


def drive(sessions: int, frames: int) -> list[pa.RecordBatch]:
    """Frames of one vehicle one by one, by session and sequence."""
    found = pa.Table.from_batches(batches(40, vehicles=1)).combine_chunks().to_batches()[0]
    assert len(found) >= sessions * frames
    parts = [session_of(found.slice(s * frames, frames), s + 1, 100) for s in range(sessions)]
    return [part.slice(i, 1) for part in parts for i in range(frames)]


def gaps_of(one: Shard) -> VehicleGaps:
    index = one.vehicles.of("default", "veh-00000")
    assert index is not None
    return one.gaps.of(index)


def send(one: Shard, frames: list[pa.RecordBatch]) -> None:
    """In groups of five, some of which are stored together."""
    for i in range(0, len(frames), 5):
        one.commit([submission(frame) for frame in frames[i : i + 5]])
        if i % 3 == 0:
            settle(one)
    settle(one)


def test_gaps_are_exact_though_duplicates_are_found_only_when_they_are_stored(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    one = shard(tmp_path, warehouse, **OVERRIDES)
    frames = drive(sessions=3, frames=50)
    lost = {7, 8, 30, 60, 90, 120, 121}
    arrived = [frame for i, frame in enumerate(frames) if i not in lost]
    send(one, arrived)
    settle(one)
    again = [frame for i, frame in enumerate(arrived) if i % 3 == 0]
    random.Random(5).shuffle(again)
    send(one, again)
    assert one.ledger.of("default").duplicates == len(again)
    assert [(s.session, s.missing) for s in gaps_of(one).sessions] == [(3, 2), (2, 2), (1, 3)]
    assert one.summary("default")["frames_missing"] == len(lost)
    send(one, [frames[i] for i in sorted(lost, reverse=True)])
    assert [(s.session, s.received, s.missing) for s in gaps_of(one).sessions] == [(3, 50, 0), (2, 50, 0), (1, 50, 0)]
    assert one.summary("default")["frames_missing"] == 0
    assert one.close()


@pytest.mark.parametrize("numbered", [True, False])
def test_a_late_frame_that_comes_again_before_it_is_stored_is_stored_once(
    tmp_path: Path, warehouse: Warehouse, numbered: bool
) -> None:
    overrides = {"duplicates": {"window_bits": 64, "sessions": 1, "content_entries": 1024}}
    one = shard(tmp_path, warehouse, **overrides)
    if numbered:
        frames = drive(sessions=3, frames=50)
        send(one, frames[100:])
        again = frames[5:8]
        distinct = 53
    else:
        # The first copy is new, and forgotten before the second one comes.
        sent = [uncounted(batch) for batch in batches(30, vehicles=50)]
        again = [sent[0]]
        for batch in sent:
            one.commit([submission(batch)])
        distinct = sum(map(len, sent))
    receipts = [receipt for _ in range(3) for receipt in one.commit([submission(frame) for frame in again])]
    assert sum(receipt.accepted for receipt in receipts[-len(again) :]) > 0, "the window is too large for this test"
    settle(one)
    counts = stored(warehouse)
    assert counts["frames"] == counts["distinct_frames"] == distinct
    assert one.ledger.of("default").stored == one.ledger.of("default").accepted == distinct
    assert one.summary("default")["frames_missing"] == 0
    assert one.close()


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_crash_changes_neither_gaps_nor_hours(tmp_path: Path, warehouse: Warehouse, checkpointed: bool) -> None:
    one = shard(tmp_path / "one", warehouse, **OVERRIDES)
    frames = drive(sessions=3, frames=50)
    send(one, frames[100:150:2])
    if checkpointed:
        one.checkpoint()
    send(one, frames[0:100:2])
    send(one, frames[0:20:2])
    send(one, frames[1:40:4])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = shard(tmp_path / "two", warehouse, **OVERRIDES)
    assert [s.missing for s in gaps_of(two).sessions] == [24, 24, 14]
    assert gaps_of(two) == gaps_of(one)
    assert two.ledger.by_hour("default", 0, 1 << 40) == one.ledger.by_hour("default", 0, 1 << 40)
    send(two, frames)
    assert [s.missing for s in gaps_of(two).sessions] == [0, 0, 0]
    assert two.close()


def test_frames_count_in_the_hour_of_their_receipt_wherever_they_are_stored(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    one = shard(tmp_path, warehouse, **OVERRIDES)
    sent = batches(4)
    hour = RECEIVED_US // HOUR_US
    for i, batch in enumerate(sent):
        received_at = RECEIVED_US + (i // 2) * HOUR_US
        one.commit([encode(Submission(fleet, received_at, "r", batch)) for fleet in ("north", "south")])
    n = [len(batch) for batch in sent]
    while one.process_next(wait=False):
        pass
    assert one.ledger.by_hour("north", 0, 1 << 40)["hours"][hour] == Tally(n[0] + n[1], n[0] + n[1]).as_dict()
    assert one.store_next()
    for fleet in ("north", "south"):
        hours = one.ledger.by_hour(fleet, 0, 1 << 40)["hours"]
        assert hours == {
            hour: Tally(n[0] + n[1], n[0] + n[1], 0, 0, n[0] + n[1]).as_dict(),
            hour + 1: Tally(n[2] + n[3], n[2] + n[3], 0, 0, n[2] + n[3]).as_dict(),
        }
    assert one.close()
