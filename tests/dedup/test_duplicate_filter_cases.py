"""The cases that decide whether a duplicate filter can be trusted, one by one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from dedup_model import Frame, accept, check, counted, mark
from pydantic import ValidationError

from pipeline.dedup.filter import DuplicateFilter
from pipeline.dedup.settings import DuplicateSettings
from pipeline.frames.columns import FrameColumns
from pipeline.frames.schema import CANONICAL
from pipeline.verdicts import DUPLICATE, NEW, UNVERIFIED

SMALL = DuplicateSettings(window_bits=128, sessions=2, content_entries=64)
TOP = 2**64 - 1


def test_a_vehicle_never_seen_has_everything_new() -> None:
    duplicates = DuplicateFilter(SMALL)
    assert check(duplicates, [counted(0, 7), counted(999, TOP, 2**32 - 1), Frame(5, timestamp=-3)]) == [NEW] * 3
    assert check(duplicates, []) == []


def test_nothing_is_a_duplicate_before_it_is_marked() -> None:
    duplicates = DuplicateFilter(SMALL)
    frames = [counted(0, 1), Frame(0, timestamp=1)]
    assert check(duplicates, frames) == check(duplicates, frames) == [NEW, NEW]
    mark(duplicates, frames, [True, False])
    assert check(duplicates, frames) == [DUPLICATE, NEW]


def test_the_ends_of_the_sequence() -> None:
    duplicates = DuplicateFilter(SMALL)
    assert accept(duplicates, [counted(0, 0), counted(0, TOP)]) == [NEW, NEW]
    assert check(duplicates, [counted(0, TOP), counted(0, TOP - 1), counted(0, 0)]) == [DUPLICATE, NEW, UNVERIFIED]
    assert accept(duplicates, [counted(0, TOP - 127), counted(0, TOP - 127)]) == [NEW, DUPLICATE]


def test_a_jump_ahead_clears_the_window() -> None:
    duplicates = DuplicateFilter(SMALL)
    accept(duplicates, [counted(0, k) for k in range(128)])
    accept(duplicates, [counted(0, 10_000)])
    assert check(duplicates, [counted(0, k) for k in (0, 127, 9_999, 10_000, 10_001)]) == [
        UNVERIFIED,
        UNVERIFIED,
        NEW,
        DUPLICATE,
        NEW,
    ]
    # Between the marks that were lost and the window nothing was ever marked, and the filter knows it.
    assert check(duplicates, [counted(0, 5_000)]) == [NEW]


def test_a_backlog_uploaded_after_newer_frames_is_new_once() -> None:
    duplicates = DuplicateFilter(SMALL)
    accept(duplicates, [counted(0, 1_000_000)])
    backlog = [counted(0, k) for k in range(640)]
    assert accept(duplicates, backlog) == [NEW] * 640
    assert set(check(duplicates, backlog)) == {UNVERIFIED}


def test_sessions_back_and_forth() -> None:
    duplicates = DuplicateFilter(SMALL)
    for session in (1, 2, 1, 2):
        accept(duplicates, [counted(0, 5, session)])
    assert check(duplicates, [counted(0, 5, 1), counted(0, 5, 2), counted(0, 6, 1)]) == [DUPLICATE, DUPLICATE, NEW]
    accept(duplicates, [counted(0, 5, 3)])
    assert check(duplicates, [counted(0, 5, 1), counted(0, 99, 1), counted(0, 1, 0)]) == [UNVERIFIED] * 3
    assert check(duplicates, [counted(0, 5, 2), counted(0, 5, 3), counted(0, 5, 4)]) == [DUPLICATE, DUPLICATE, NEW]
    mark(duplicates, [counted(0, 5, 1)])
    assert check(duplicates, [counted(0, 5, 2), counted(0, 5, 3)]) == [DUPLICATE, DUPLICATE]


def test_an_older_session_is_new_until_one_is_forgotten() -> None:
    duplicates = DuplicateFilter(SMALL)
    accept(duplicates, [counted(0, 1, 8), counted(0, 1, 9)])
    assert accept(duplicates, [counted(0, 1, 5), counted(0, 1, 6)]) == [NEW, NEW]
    assert check(duplicates, [counted(0, 1, 5), counted(0, 1, 6), counted(0, 1, 7)]) == [UNVERIFIED, UNVERIFIED, NEW]


def test_a_repeat_within_the_batch_is_a_duplicate_whatever_the_first_was() -> None:
    duplicates = DuplicateFilter(SMALL)
    accept(duplicates, [counted(0, 0), counted(0, 10_000)])
    old = counted(0, 3)
    assert check(duplicates, [old, old, counted(0, 10_000), counted(0, 10_000)]) == [
        UNVERIFIED,
        DUPLICATE,
        DUPLICATE,
        DUPLICATE,
    ]


def test_counted_and_uncounted_frames_of_one_vehicle_are_apart() -> None:
    duplicates = DuplicateFilter(SMALL)
    zero = counted(0, 0, 0)
    bare = Frame(0, timestamp=zero.timestamp)
    assert accept(duplicates, [zero, bare]) == [NEW, NEW]
    assert check(duplicates, [bare, zero, counted(0, 1, 0)]) == [DUPLICATE, DUPLICATE, NEW]


def test_every_part_of_the_content_counts() -> None:
    duplicates = DuplicateFilter(DuplicateSettings())
    frame = Frame(0, timestamp=10, arbitration_id=0x123, data=b"\1\0", channel=1)
    others = [
        frame._replace(vehicle=1),
        frame._replace(timestamp=11),
        frame._replace(arbitration_id=0x124),
        frame._replace(channel=2),
        frame._replace(data=b"\1"),
        frame._replace(data=b"\1\0\0"),
        frame._replace(data=b"\1\0" + bytes(6)),
        frame._replace(data=b"\1\0" + bytes(62)),
        frame._replace(data=b""),
    ]
    assert accept(duplicates, [frame, *others]) == [NEW] * 10
    assert check(duplicates, [frame, *others]) == [DUPLICATE] * 10


def test_many_frames_of_one_microsecond() -> None:
    duplicates = DuplicateFilter(DuplicateSettings())
    frames = [Frame(0, timestamp=7, data=k.to_bytes(4)) for k in range(3000)]
    assert accept(duplicates, frames) == [NEW] * 3000
    assert check(duplicates, frames[::-1]) == [DUPLICATE] * 3000


def test_a_full_memory_forgets_the_older_half() -> None:
    duplicates = DuplicateFilter(SMALL)
    frames = [Frame(0, timestamp=k) for k in range(100)]
    assert accept(duplicates, frames) == [NEW] * 100
    verdicts = check(duplicates, frames)
    dropped = verdicts.count(UNVERIFIED)
    assert 0 < dropped < 100
    assert verdicts == [UNVERIFIED] * dropped + [DUPLICATE] * (100 - dropped)
    assert check(duplicates, [Frame(0, timestamp=1000), Frame(0, timestamp=-1)]) == [NEW, UNVERIFIED]


def test_without_memory_everything_marked_is_unverified() -> None:
    duplicates = DuplicateFilter(DuplicateSettings(content_entries=0))
    assert accept(duplicates, [Frame(0, timestamp=5), Frame(0, timestamp=6)]) == [NEW, NEW]
    assert check(duplicates, [Frame(0, timestamp=5), Frame(0, timestamp=6), Frame(0, timestamp=7)]) == [
        UNVERIFIED,
        UNVERIFIED,
        NEW,
    ]


def test_a_greedy_vehicle_leaves_room_for_late_comers() -> None:
    duplicates = DuplicateFilter(DuplicateSettings(content_entries=1024))
    accept(duplicates, [Frame(0, timestamp=k) for k in range(5000)])
    late = [Frame(v, timestamp=0) for v in range(1, 5)]
    accept(duplicates, late)
    assert check(duplicates, late) == [DUPLICATE] * 4


def test_an_old_log_replayed_into_a_live_vehicle_is_kept_apart_from_nothing() -> None:
    duplicates = DuplicateFilter(DuplicateSettings())
    live = [Frame(0, timestamp=10**15 + k) for k in range(20_000)]
    log = [Frame(0, timestamp=k) for k in range(20_000)]
    assert accept(duplicates, live) == [NEW] * len(live)
    assert accept(duplicates, log) == [NEW] * len(log)
    assert check(duplicates, log + live) == [DUPLICATE] * (len(log) + len(live))


def test_columns_straight_from_arrow() -> None:
    rows = {
        "vehicle_id": pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, 0], pa.int32()), pa.array(["a", "b"])),
        "timestamp": pa.array([1, 1, 1, 2], CANONICAL.field("timestamp").type),
        "arbitration_id": pa.array([1, 1, 1, 1], pa.uint32()),
        "data": pa.array([b"x", b"x", b"x", b"y"], pa.binary()),
        "is_extended": pa.array([False] * 4),
        "channel": pa.array([0, 0, 0, 0], pa.uint8()),
        "session": pa.array([None, 3, None, 3], pa.uint32()),
        "sequence": pa.array([None, 4, None, 4], pa.uint64()),
    }
    batch = pa.record_batch(list(rows.values()), schema=CANONICAL)
    for view in (batch, batch.slice(1, 3)):
        frames = FrameColumns.from_batch(view)
        duplicates = DuplicateFilter(SMALL)
        expected = [NEW, NEW, DUPLICATE, NEW] if len(frames) == 4 else [NEW, NEW, NEW]
        assert duplicates.check(frames.vehicle, frames).tolist() == expected
        duplicates.mark(frames.vehicle, frames, np.ones(len(frames), np.bool_))
        assert duplicates.check(frames.vehicle, frames).tolist() == [DUPLICATE] * len(frames)


def test_settings_refuse_a_crooked_window() -> None:
    with pytest.raises(ValidationError, match="power of two"):
        DuplicateSettings(window_bits=100)
