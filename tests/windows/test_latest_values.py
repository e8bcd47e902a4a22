"""Latest values against brute force, in any order and across restarts."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.windows.latest import LatestValues

NEVER = np.iinfo(np.int64).min
ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-5, 20), st.one_of(st.floats(), st.integers(0, 3).map(float))), max_size=40
)


def feed(latest: LatestValues, rows: list[tuple[int, int, float]]) -> None:
    """Every row is one frame of vehicle `series // 2` with one value."""
    series = np.array([row[0] for row in rows], np.int32)
    timestamp = np.array([row[1] for row in rows], np.int64)
    frame = np.arange(len(rows), dtype=np.int32)
    latest.update(series // 2, timestamp, frame, series, np.array([row[2] for row in rows], np.float64))


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, max_size=5), st.integers(0, 4))
def test_latest_by_event_time_and_later_arrival_among_equals(
    batches: list[list[tuple[int, int, float]]], restart: int
) -> None:
    latest = LatestValues()
    for number, batch in enumerate(batches):
        if number == restart:
            saved = latest.snapshot()
            latest = LatestValues()
            latest.restore(saved)
        feed(latest, batch)
    rows = [row for batch in batches for row in batch]
    timestamps, values = latest.of(np.arange(5, dtype=np.int32))
    for series in range(5):
        own = [(t, k, x) for k, (s, t, x) in enumerate(rows) if s == series]
        expected = max(own, key=lambda row: row[:2]) if own else (NEVER, 0, 0.0)
        assert timestamps[series] == expected[0]
        np.testing.assert_equal(values[series], expected[2])
    vehicles = np.arange(4, dtype=np.int32)
    own_times = [[t for s, t, _ in rows if s // 2 == v] for v in range(4)]
    assert latest.frames(vehicles).tolist() == [len(times) for times in own_times]
    assert latest.last_seen(vehicles).tolist() == [max(times, default=NEVER) for times in own_times]


def test_not_a_number_is_a_latest_value_too() -> None:
    latest = LatestValues()
    feed(latest, [(0, 1, 5.0), (0, 2, math.nan)])
    timestamps, values = latest.of(np.array([0], np.int32))
    assert timestamps.tolist() == [2]
    assert math.isnan(values[0])


def test_a_late_frame_counts_and_changes_nothing_else() -> None:
    latest = LatestValues()
    feed(latest, [(0, 10, 1.0)])
    feed(latest, [(0, 9, 2.0)])
    vehicle = np.array([0], np.int32)
    assert latest.of(vehicle)[1].tolist() == [1.0]
    assert (latest.frames(vehicle).tolist(), latest.last_seen(vehicle).tolist()) == ([2], [10])


def test_answers_are_copies() -> None:
    latest = LatestValues()
    feed(latest, [(0, 10, 1.0)])
    saved, (timestamps, values) = latest.snapshot(), latest.of(np.array([0], np.int32))
    feed(latest, [(0, 11, 2.0)])
    assert (timestamps.tolist(), values.tolist(), saved["values"][0, 0]) == ([10], [1.0], 10)
