"""The duplicate filter against Python sets: random traffic, tiny memories, replays, restarts."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from dedup_model import Frame, accept, assert_sound, check, columns, counted, mark
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.dedup.filter import DuplicateFilter
from pipeline.dedup.settings import DuplicateSettings
from pipeline.verdicts import DUPLICATE, NEW, UNVERIFIED

TOP = 2**64 - 1
SEQUENCES = st.one_of(
    st.integers(0, 300), st.integers(5000, 5200), st.integers(2**40, 2**40 + 200), st.integers(TOP - 150, TOP)
)
COUNTED = st.builds(counted, st.integers(0, 2), SEQUENCES, st.sampled_from([0, 1, 2, 3, 2**32 - 1]))
UNCOUNTED = st.builds(
    Frame,
    vehicle=st.integers(0, 2),
    timestamp=st.one_of(st.integers(0, 200), st.integers(10**15, 10**15 + 100), st.integers(-50, 5)),
    arbitration_id=st.sampled_from([1, 2]),
    data=st.sampled_from([b"", b"\0", b"12345678", b"123456789", bytes(64)]),
    channel=st.sampled_from([0, 1]),
    session=st.none(),
    sequence=st.none(),
)
RUNS = st.builds(
    lambda vehicle, first, n, step: [Frame(vehicle, timestamp=first + step * k, data=b"run") for k in range(n)],
    st.integers(0, 2),
    st.integers(-100, 100),
    st.integers(1, 80),
    st.sampled_from([-7, -1, 1, 3]),
)
COUNTED_RUNS = st.builds(
    lambda vehicle, first, n, session: [counted(vehicle, first + k, session) for k in range(n)],
    st.integers(0, 2),
    st.integers(0, 500),
    st.integers(1, 200),
    st.integers(1, 4),
)
BATCHES = st.one_of(st.lists(st.one_of(COUNTED, UNCOUNTED), max_size=60), RUNS, COUNTED_RUNS)
TINY = DuplicateSettings(window_bits=128, sessions=2, content_entries=150)


class FilterMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, the verdicts are sound, and exact where memory reaches."""

    @initialize(words=st.sampled_from([1, 2, 8]), kept=st.integers(1, 3), entries=st.sampled_from([0, 40, 150, 1000]))
    def start(self, words: int, kept: int, entries: int) -> None:
        self.settings = DuplicateSettings(window_bits=64 * words, sessions=kept, content_entries=entries)
        self.filter = DuplicateFilter(self.settings)
        self.marked: set[tuple[object, ...]] = set()
        self.sequences: dict[tuple[int, int], set[int]] = defaultdict(set)
        self.saved = self.filter.snapshot()
        self.since: list[tuple[list[Frame], list[bool]]] = []

    @rule(frames=BATCHES, data=st.data())
    def batch(self, frames: list[Frame], data: st.DataObject) -> None:
        verdicts = check(self.filter, frames)
        assert_sound(frames, verdicts, self.marked)
        self._assert_exact(frames, verdicts)
        assert check(self.filter, frames) == verdicts, "checking changed the state"
        rows = data.draw(
            st.one_of(
                st.just([True] * len(frames)), st.lists(st.booleans(), min_size=len(frames), max_size=len(frames))
            )
        )
        mark(self.filter, frames, rows)
        self.since.append((frames, rows))
        for frame, chosen in zip(frames, rows, strict=True):
            if chosen:
                self.marked.add(frame.identity)
                if frame.sequence is not None:
                    self.sequences[frame.vehicle, frame.session].add(frame.sequence)

    @rule()
    def save(self) -> None:
        self.saved, self.since = self.filter.snapshot(), []

    @rule()
    def crash_and_replay(self) -> None:
        probe = [
            Frame(*identity[:2], identity[3], identity[4], identity[2])
            if len(identity) == 5
            else Frame(identity[0], session=identity[1], sequence=identity[2])
            for identity in self.marked
        ]
        before = check(self.filter, probe)
        self.filter = DuplicateFilter(self.settings)
        self.filter.restore(self.saved)
        for frames, rows in self.since:
            mark(self.filter, frames, rows)
        assert check(self.filter, probe) == before

    @rule()
    def mark_again(self) -> None:
        probe = [frame for frames, _ in self.since for frame in frames]
        before = check(self.filter, probe)
        for frames, rows in self.since:
            mark(self.filter, frames, rows)
        assert check(self.filter, probe) == before

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "filter"):
            assert len(self.filter.snapshot()["content.pool"]) <= self.settings.content_entries

    def _assert_exact(self, frames: list[Frame], verdicts: list[int]) -> None:
        """Inside the window of a kept session nothing is UNVERIFIED."""
        earlier: set[tuple[object, ...]] = set()
        for frame, verdict in zip(frames, verdicts, strict=True):
            if frame.sequence is not None and frame.identity not in earlier:
                kept = sorted((s for v, s in self.sequences if v == frame.vehicle), reverse=True)[
                    : self.settings.sessions
                ]
                known = self.sequences.get((frame.vehicle, frame.session), set())
                if frame.session in kept and max(known) // 64 - frame.sequence // 64 < self.settings.window_bits // 64:
                    assert verdict == (DUPLICATE if frame.sequence in known else NEW)
            earlier.add(frame.identity)


TestFilterMachine = FilterMachine.TestCase
TestFilterMachine.settings = settings(
    max_examples=100, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(BATCHES, max_size=8))
def test_with_room_for_everything_every_verdict_is_exact(batches: list[list[Frame]]) -> None:
    duplicates = DuplicateFilter(DuplicateSettings(window_bits=1 << 14, sessions=64, content_entries=1 << 14))
    seen: set[tuple[object, ...]] = set()
    for batch in batches:
        frames = [frame for frame in batch if frame.sequence is None or frame.sequence < 10_000]
        expected = []
        for frame in frames:
            expected.append(DUPLICATE if frame.identity in seen else NEW)
            seen.add(frame.identity)
        assert accept(duplicates, frames) == expected


@pytest.mark.parametrize("kind", ["counted", "uncounted", "mixed"])
@pytest.mark.parametrize("lateness", [0, 50, 100_000])
def test_large_shuffled_batches_with_repeats(kind: str, lateness: int) -> None:
    rng = np.random.default_rng(lateness)
    duplicates = DuplicateFilter(DuplicateSettings(window_bits=1 << 16, sessions=2, content_entries=1 << 20))
    seen: set[tuple[object, ...]] = set()
    for batch in range(3):
        frames = []
        for k in range(8000):
            vehicle, number = k % 7, batch * 6000 + k
            uncounted = kind == "uncounted" or (kind == "mixed" and k % 2)
            frames.append(
                Frame(vehicle, timestamp=number // 3, arbitration_id=number % 5, data=number.to_bytes(9))
                if uncounted
                else counted(vehicle, number)
            )
        order = np.argsort(np.arange(len(frames)) + rng.integers(0, lateness + 1, len(frames)), kind="stable")
        frames = [frames[k] for k in order] + [frames[k] for k in rng.integers(0, len(frames), 500)]
        expected = []
        for frame in frames:
            expected.append(DUPLICATE if frame.identity in seen else NEW)
            seen.add(frame.identity)
        assert accept(duplicates, frames) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-500, 500), max_size=60), max_size=10))
def test_the_newest_frames_stay_proven_when_memory_is_short(batches: list[list[int]]) -> None:
    duplicates = DuplicateFilter(DuplicateSettings(content_entries=32))
    seen: set[int] = set()
    for batch in batches:
        accept(duplicates, [Frame(0, timestamp=when) for when in batch])
        seen |= set(batch)
        newest = [Frame(0, timestamp=when) for when in sorted(seen)[-8:]]
        assert check(duplicates, newest) == [DUPLICATE] * len(newest)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(BATCHES, max_size=5),
    st.lists(BATCHES, min_size=1, max_size=4),
    st.sampled_from([64, 128, 1024]),
    st.integers(1, 3),
    st.sampled_from([0, 64, 4096]),
)
def test_a_snapshot_taken_with_other_settings_stays_sound(
    before: list[list[Frame]], after: list[list[Frame]], bits: int, kept: int, entries: int
) -> None:
    first = DuplicateFilter(TINY)
    marked: set[tuple[object, ...]] = set()
    for frames in before:
        accept(first, frames)
        marked |= {frame.identity for frame in frames}
    second = DuplicateFilter(DuplicateSettings(window_bits=bits, sessions=kept, content_entries=entries))
    second.restore(first.snapshot())
    for frames in [*before, *after]:
        verdicts = check(second, frames)
        assert_sound(frames, verdicts, marked)
        mark(second, frames)
        marked |= {frame.identity for frame in frames}


def test_a_snapshot_is_a_copy() -> None:
    duplicates = DuplicateFilter(TINY)
    accept(duplicates, [counted(0, 1), Frame(0, timestamp=5)])
    saved = duplicates.snapshot()
    held = {name: array.copy() for name, array in saved.items()}
    accept(duplicates, [counted(0, k) for k in range(500)] + [Frame(1, timestamp=k) for k in range(200)])
    for name, array in saved.items():
        np.testing.assert_array_equal(array, held[name])
    restored = DuplicateFilter(TINY)
    restored.restore(saved)
    accept(restored, [counted(0, 2)])
    for name, array in saved.items():
        np.testing.assert_array_equal(array, held[name])


def test_read_only_and_sliced_inputs_are_taken() -> None:
    duplicates = DuplicateFilter(TINY)
    batch = columns([Frame(0, timestamp=k, data=bytes([k])) for k in range(10)])
    for array in (batch.vehicle, batch.timestamp, batch.counted, batch.offsets):
        array.flags.writeable = False
    assert duplicates.check(batch.vehicle, batch).tolist() == [NEW] * 10
    assert UNVERIFIED not in duplicates.check(batch.vehicle, batch)
