"""Sequence gaps against sets of every sequence number."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.gaps.late_frames import late_frames
from pipeline.gaps.sequence_gaps import MOST, SESSIONS, SequenceGaps, SessionGaps

FRAME = st.tuples(st.integers(0, 3), st.integers(0, SESSIONS - 1).map(lambda n: 7 * n), st.integers(0, 60))
FRAMES = st.lists(FRAME, unique=True, max_size=300).flatmap(st.permutations)
"""Distinct frames (vehicle, session, sequence) in any order, of no more sessions than are followed."""
LARGE = st.integers(0, (1 << 64) - 1)

Frame = tuple[int, int, int]


def count(gaps: SequenceGaps, frames: list[Frame], ignored: list[Frame] = ()) -> None:
    """Feed frames as one batch, among others that must not be counted."""
    rows = [True] * len(frames) + [False] * len(ignored)
    columns = list(zip(*[*frames, *ignored], strict=True)) or [(), (), ()]
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    vehicle, session = np.array(columns[0], np.int32)[order], np.array(columns[1], np.uint32)[order]
    gaps.count(vehicle, session, np.array(columns[2], np.uint64)[order], np.array(rows, np.bool_)[order])


def expected(frames: list[Frame]) -> dict[int, list[SessionGaps]]:
    seen: dict[int, dict[int, set[int]]] = {}
    for vehicle, session, sequence in frames:
        seen.setdefault(vehicle, {}).setdefault(session, set()).add(sequence)
    return {
        vehicle: [
            SessionGaps(session, min(n), max(n), len(n), len(set(range(min(n), max(n) + 1)) - n))
            for session, n in sorted(sessions.items(), reverse=True)
        ]
        for vehicle, sessions in seen.items()
    }


@given(FRAMES, st.lists(st.integers(0, 300), max_size=6), st.lists(FRAME, max_size=20))
@settings(max_examples=100, deadline=None)
def test_missing_is_what_a_set_says_after_any_batches_in_any_order(
    frames: list[Frame], cuts: list[int], ignored: list[Frame]
) -> None:
    gaps = SequenceGaps()
    bounds = [0, *sorted(min(cut, len(frames)) for cut in cuts), len(frames)]
    for start, end in pairwise(bounds):
        count(gaps, frames[start:end], ignored)
        model = expected(frames[:end])
        for vehicle in range(4):
            assert gaps.of(vehicle).sessions == model.get(vehicle, [])
            assert gaps.of(vehicle).earlier_late == gaps.of(vehicle).earlier_missing == 0
        assert gaps.missing(np.arange(4, dtype=np.int32)) == sum(s.missing for one in model.values() for s in one)
        restored = SequenceGaps()
        restored.restore(gaps.snapshot())
        gaps = restored


@given(FRAMES, st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_frames_counted_by_session_are_worth_the_same(frames: list[Frame], cut: int) -> None:
    one, two = SequenceGaps(), SequenceGaps()
    count(one, frames)
    count(two, frames[:cut])
    late = frames[cut:]
    columns = list(zip(*late, strict=True)) or [(), (), ()]
    entries = late_frames(
        np.array(columns[0], np.int32), np.array(columns[1], np.uint32), np.array(columns[2], np.uint64), str, str
    )
    assert len(entries) == len({frame[:2] for frame in late})
    for entry in entries:
        two.add(int(entry.vehicle_id), entry.session, entry.oldest, entry.newest, entry.received)
    assert [two.of(vehicle) for vehicle in range(4)] == [one.of(vehicle) for vehicle in range(4)]


@given(st.permutations(range(SESSIONS + 5)), st.data())
@settings(max_examples=50, deadline=None)
def test_the_highest_sessions_are_exact_and_what_falls_out_is_counted(sessions: list[int], data: st.DataObject) -> None:
    numbers = {s: data.draw(st.sets(st.integers(0, 30), min_size=1)) for s in sessions}
    gaps = SequenceGaps()
    for session in sessions:
        count(gaps, [(0, session, n) for n in numbers[session]])
    found = gaps.of(0)
    assert found.sessions == expected([(0, s, n) for s in sorted(sessions)[-SESSIONS:] for n in numbers[s]])[0]
    lacking = {s: max(n) - min(n) + 1 - len(n) for s, n in numbers.items()}
    kept: list[int] = []
    missing = late = 0
    for session in sessions:
        if len(kept) == SESSIONS and session < kept[0]:
            late += len(numbers[session])
            continue
        kept = sorted([*kept, session])
        if len(kept) > SESSIONS:
            missing += lacking[kept.pop(0)]
    assert (found.earlier_missing, found.earlier_late) == (missing, late)
    assert gaps.missing(np.zeros(1, np.int32)) == found.missing


@given(st.lists(st.tuples(st.integers(0, 20), LARGE), unique=True, min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_wild_numbers_stay_within_bounds(frames: list[tuple[int, int]]) -> None:
    gaps = SequenceGaps()
    count(gaps, [(0, session, sequence) for session, sequence in frames])
    found = gaps.of(0)
    for session in found.sessions:
        mine = [sequence for number, sequence in frames if number == session.session]
        assert (session.oldest, session.newest, session.received) == (min(mine), max(mine), len(mine))
        assert session.missing == min(max(mine) - min(mine) + 1 - len(mine), MOST)
    assert 0 <= found.earlier_missing <= MOST
    assert gaps.missing(np.zeros(1, np.int32)) == found.missing


def test_a_vehicle_never_seen_lacks_nothing() -> None:
    gaps = SequenceGaps()
    assert gaps.of(5).missing == 0
    assert gaps.missing(np.array([5], np.int32)) == 0
