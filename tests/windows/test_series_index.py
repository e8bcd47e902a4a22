"""The series index against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.series import SeriesIndex

COUNTS = np.array([3, 0, 1, 40, 2], np.int32)
FIRST = np.concatenate(([0], np.cumsum(COUNTS)[:-1])).astype(np.int32)


def index() -> SeriesIndex:
    return SeriesIndex(FIRST, COUNTS)


def frames_of(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, ...]:
    """Frames (vehicle, message), each decoded into all of the message's signals."""
    vehicle = np.array([v for v, _ in pairs], np.int32)
    message = np.array([m for _, m in pairs], np.int32)
    row = np.array([r for r, (_, m) in enumerate(pairs) for _ in range(COUNTS[m] if m >= 0 else 0)], np.int32)
    signal = np.array([FIRST[m] + k for _, m in pairs for k in range(COUNTS[m] if m >= 0 else 0)], np.int32)
    return vehicle, message, row, signal


PAIRS = st.lists(st.tuples(st.integers(0, 300), st.integers(-1, 4)), max_size=60)


@settings(max_examples=80, deadline=None)
@given(st.lists(PAIRS, max_size=6), st.integers(0, 5))
def test_every_vehicle_and_signal_has_one_series(batches: list[list[tuple[int, int]]], restart: int) -> None:
    series = index()
    known: dict[tuple[int, int], int] = {}
    for number, pairs in enumerate(batches):
        if number == restart:
            saved = series.snapshot()
            series = index()
            series.restore(saved)
        vehicle, message, row, signal = frames_of(pairs)
        resolved = series.resolve(vehicle, message, row, signal).tolist()
        for r, sig, s in zip(row.tolist(), signal.tolist(), resolved, strict=True):
            assert known.setdefault((int(vehicle[r]), sig), s) == s
    assert sorted(known.values()) == list(range(len(series)))
    for (vehicle_index, sig), s in known.items():
        assert (series.series_vehicle[s], series.series_signal[s]) == (vehicle_index, sig)
    for vehicle_index in range(302):
        own = sorted(s for (v, _), s in known.items() if v == vehicle_index)
        assert series.of_vehicle(vehicle_index).tolist() == own


def test_it_grows_past_every_first_size() -> None:
    series = index()
    pairs = [(v, m) for v in range(4000) for m in (0, 3)]
    vehicle, message, row, signal = frames_of(pairs)
    resolved = series.resolve(vehicle, message, row, signal).copy()
    assert len(series) == 4000 * 43
    np.testing.assert_array_equal(resolved, np.arange(4000 * 43))
    np.testing.assert_array_equal(series.resolve(vehicle, message, row, signal), resolved)


def test_frames_without_values_open_no_series() -> None:
    series = index()
    none = np.zeros(0, np.int32)
    assert series.resolve(np.array([0, 1], np.int32), np.array([0, -1], np.int32), none, none).tolist() == []
    assert (len(series), series.of_vehicle(0).tolist(), series.of_vehicle(9999).tolist()) == (0, [], [])


def test_restore_replaces_what_was_there() -> None:
    one, other = index(), index()
    one.resolve(*frames_of([(5, 0)]))
    other.resolve(*frames_of([(1, 3), (2, 4)]))
    other.restore(one.snapshot())
    assert (len(other), other.of_vehicle(5).tolist(), other.of_vehicle(1).tolist()) == (3, [0, 1, 2], [])


def test_a_catalogue_without_messages() -> None:
    empty = np.zeros(0, np.int32)
    series = SeriesIndex(empty, empty)
    assert series.resolve(np.array([0], np.int32), np.array([-1], np.int32), empty, empty).tolist() == []
