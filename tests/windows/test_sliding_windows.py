"""Sliding windows against brute force: shuffled, late, not finite, several vehicles, restarts."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.windows.settings import WindowSettings
from pipeline.windows.sliding import SlidingWindows, WindowAggregates

NEVER = np.iinfo(np.int64).min
SECOND = 1_000_000
EPOCH = 1_700_000_000 * SECOND
DEFAULT = WindowSettings()
SERIES_PER_VEHICLE = 3


class Sample(NamedTuple):
    vehicle: int
    series: int
    timestamp: int
    value: float


def update(windows: SlidingWindows, samples: list[Sample]) -> int:
    """Every sample is one frame with one value."""
    return windows.update(
        np.array([s.vehicle for s in samples], np.int32),
        np.array([s.timestamp for s in samples], np.int64),
        np.arange(len(samples), dtype=np.int32),
        np.array([s.series for s in samples], np.int32),
        np.array([s.value for s in samples], np.float64),
    )


class BruteForce:
    """Keeps every value; decides lateness by the definition: a value counts while a window of its pane is open."""

    def __init__(self, shape: WindowSettings) -> None:
        self.shape = shape
        self.newest: dict[int, int] = {}
        self.kept: dict[int, list[Sample]] = defaultdict(list)

    def update(self, samples: list[Sample]) -> int:
        late = 0
        for sample in samples:
            self.newest[sample.vehicle] = max(self.newest.get(sample.vehicle, sample.timestamp), sample.timestamp)
            if not math.isfinite(sample.value):
                continue
            last_window_ends = sample.timestamp // self.shape.slide_us * self.shape.slide_us + self.shape.length_us
            if last_window_ends <= self.newest[sample.vehicle] - self.shape.lateness_us:
                late += 1
            else:
                self.kept[sample.series].append(sample)
        return late

    def closed(self, vehicle: int) -> int:
        return (self.newest[vehicle] - self.shape.lateness_us) // self.shape.slide_us * self.shape.slide_us

    def window(self, series: int, end: int) -> list[Sample]:
        return [s for s in self.kept[series] if end - self.shape.length_us <= s.timestamp < end]


def assert_window(result: WindowAggregates, k: int, expected: list[Sample]) -> None:
    assert result.count[k] == len(expected)
    if not expected:
        for column in (result.mean, result.std, result.min, result.max, result.last):
            assert math.isnan(column[k])
        assert result.last_timestamp[k] == NEVER
        return
    values = np.array([s.value for s in expected])
    scale = float(np.abs(values).max())
    assert result.mean[k] == pytest.approx(math.fsum(values) / len(values), rel=1e-12, abs=1e-12 * scale)
    assert result.std[k] == pytest.approx(values.std(), rel=1e-9, abs=1e-7 * scale)
    assert result.min[k] == values.min()
    assert result.max[k] == values.max()
    last = max(enumerate(expected), key=lambda item: (item[1].timestamp, item[0]))[1]
    assert (result.last[k], result.last_timestamp[k]) == (last.value, last.timestamp)


def assert_equal_to_brute_force(windows: SlidingWindows, brute: BruteForce) -> None:
    for vehicle in brute.newest:
        series = np.arange(vehicle * SERIES_PER_VEHICLE, (vehicle + 1) * SERIES_PER_VEHICLE, dtype=np.int32)
        closed = brute.closed(vehicle)
        latest = windows.aggregate(series)
        for k, s in enumerate(series.tolist()):
            if brute.kept[s]:
                assert latest.end[k] == closed
                assert_window(latest, k, brute.window(s, closed))
            else:
                assert latest.count[k] == 0
        # Every window from the one just closed to the newest that is still filling.
        for end in range(closed, brute.newest[vehicle] + brute.shape.slide_us + 1, brute.shape.slide_us):
            result = windows.aggregate(series, end)
            for k, s in enumerate(series.tolist()):
                assert_window(result, k, brute.window(s, end))


SHAPES = st.sampled_from(
    [
        DEFAULT,
        WindowSettings(length_s=3, slide_s=3, lateness_s=0),
        WindowSettings(length_s=2, slide_s=0.5, lateness_s=1.3),
        WindowSettings(length_s=60, slide_s=20, lateness_s=7),
    ]
)
# Smaller ones than 1e-150 have squares that are not full doubles any more, whoever adds them up.
VALUES = st.one_of(
    st.floats(-1e9, 1e9).map(lambda value: value if abs(value) > 1e-150 else 0.0),
    st.sampled_from([0.0, -0.0, 1.0, 1e8 + 0.25, math.nan, math.inf, -math.inf]),
)
SAMPLES = st.builds(
    lambda vehicle, series, timestamp, value: Sample(
        vehicle, vehicle * SERIES_PER_VEHICLE + series, EPOCH + timestamp, value
    ),
    st.integers(0, 2),
    st.integers(0, SERIES_PER_VEHICLE - 1),
    st.one_of(st.integers(0, 30 * SECOND), st.integers(0, 30).map(lambda s: s * SECOND), st.just(500 * SECOND)),
    VALUES,
)


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.lists(st.lists(SAMPLES, max_size=40), max_size=6), st.integers(0, 5))
def test_any_arrival_equals_brute_force(shape: WindowSettings, batches: list[list[Sample]], restart: int) -> None:
    windows, brute = SlidingWindows(shape), BruteForce(shape)
    for number, batch in enumerate(batches):
        if number == restart:
            saved = windows.snapshot()
            windows = SlidingWindows(shape)
            windows.restore(saved)
        assert update(windows, batch) == brute.update(batch)
        assert_equal_to_brute_force(windows, brute)
    flat = [sample for batch in batches for sample in batch]
    assert windows.not_finite == sum(not math.isfinite(s.value) for s in flat)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_within_the_lateness_gives_the_windows_of_ordered_data(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ordered = [
        Sample(k % 3, (k % 3) * SERIES_PER_VEHICLE + k % 2, EPOCH + k * 9_973, float(rng.normal(1e6, 1)))
        for k in range(6000)
    ]
    delay = rng.integers(0, DEFAULT.lateness_us, len(ordered))
    shuffled = [ordered[k] for k in np.argsort([s.timestamp for s in ordered] + delay, kind="stable")]
    one, other = closed_windows(ordered), closed_windows(shuffled)
    common = one.keys() & other.keys()
    assert len(common) > 200
    for key in common:
        (count, mean, std, *exact), (other_count, other_mean, other_std, *other_exact) = one[key], other[key]
        assert (count, exact) == (other_count, other_exact)
        assert other_mean == pytest.approx(mean, rel=1e-12)
        assert other_std == pytest.approx(std, rel=1e-6)


def closed_windows(samples: list[Sample]) -> dict[tuple[int, int], tuple[float, ...]]:
    """Every window by (series, end), as it was when the watermark had just closed it. Nothing may be too late."""
    windows = SlidingWindows(DEFAULT)
    series = np.array([0, 1, 3, 4, 6, 7], np.int32)
    closed = {}
    for start in range(0, len(samples), 20):
        assert update(windows, samples[start : start + 20]) == 0
        result = windows.aggregate(series)
        for k in np.flatnonzero(result.count):
            values = (result.count, result.mean, result.std, result.min, result.max, result.last, result.last_timestamp)
            closed.setdefault((int(series[k]), int(result.end[k])), tuple(column[k].item() for column in values))
    return closed


@settings(max_examples=60, deadline=None)
@given(st.lists(SAMPLES, max_size=60), st.data())
def test_how_the_stream_is_cut_into_batches_changes_nothing(samples: list[Sample], data: st.DataObject) -> None:
    whole, cut = SlidingWindows(DEFAULT), SlidingWindows(DEFAULT)
    update(whole, samples)
    middle = data.draw(st.integers(0, len(samples)))
    update(cut, samples[:middle])
    saved = cut.snapshot()
    cut = SlidingWindows(DEFAULT)
    cut.restore(saved)
    update(cut, samples[middle:])
    series = np.arange(9, dtype=np.int32)
    for name in WindowAggregates.__slots__:
        np.testing.assert_array_equal(getattr(whole.aggregate(series), name), getattr(cut.aggregate(series), name))
    assert (whole.too_late, whole.not_finite) == (cut.too_late, cut.not_finite)


def test_one_vehicles_future_closes_only_its_own_windows() -> None:
    windows = SlidingWindows(DEFAULT)
    update(windows, [Sample(0, 0, EPOCH, 1.0), Sample(1, 1, EPOCH, 1.0)])
    update(windows, [Sample(0, 0, EPOCH + 3600 * SECOND, 2.0)])
    assert update(windows, [Sample(0, 0, EPOCH, 3.0), Sample(1, 1, EPOCH, 3.0)]) == 1
    assert windows.aggregate(np.array([1], np.int32), EPOCH + SECOND).count.tolist() == [2]
    assert windows.watermark(1) == EPOCH - DEFAULT.lateness_us
    assert windows.watermark(7) is None


def test_numbers_that_cancel_and_numbers_that_overflow() -> None:
    windows = SlidingWindows(DEFAULT)
    close = [1e9 + k * 1e-3 for k in range(100)]
    update(windows, [Sample(0, 0, EPOCH + k, x) for k, x in enumerate(close)])
    update(windows, [Sample(0, 1, EPOCH + k, x) for k, x in enumerate([1.7e308, -1.7e308, 5.0])])
    update(windows, [Sample(0, 2, EPOCH + k, 0.1) for k in range(1000)])
    result = windows.aggregate(np.arange(3, dtype=np.int32), EPOCH + SECOND)
    assert result.std[0] == pytest.approx(np.std(np.array(close) - 1e9), rel=1e-4)
    assert (result.count[1], result.mean[1], windows.not_finite) == (1, 5.0, 2)
    assert (result.mean[2], result.std[2]) == (0.1, 0.0)


def test_series_and_windows_without_values() -> None:
    windows = SlidingWindows(DEFAULT)
    assert windows.aggregate(np.array([0, 5], np.int32)).count.tolist() == [0, 0]
    assert windows.aggregate(np.array([], np.int32)).end.tolist() == []
    update(windows, [Sample(0, 3, EPOCH, 1.0)])
    result = windows.aggregate(np.array([0, 3, 99], np.int32), EPOCH + SECOND + 17)
    assert result.count.tolist() == [0, 1, 0]
    assert result.end.tolist() == [EPOCH + SECOND] * 3
    ends = np.array([EPOCH, EPOCH + SECOND, EPOCH + 10 * SECOND, EPOCH + 11 * SECOND], np.int64)
    assert windows.aggregate(np.full(4, 3, np.int32), ends).count.tolist() == [0, 1, 1, 0]


def test_a_window_that_partly_left_the_ring_gives_nothing() -> None:
    windows = SlidingWindows(DEFAULT)
    update(windows, [Sample(0, 0, EPOCH + k * SECOND, 1.0) for k in range(100)])
    series = np.array([0], np.int32)
    assert windows.aggregate(series, EPOCH + 94 * SECOND).count.tolist() == [10]
    assert windows.aggregate(series, EPOCH + 93 * SECOND).count.tolist() == [0]


def test_times_before_the_epoch() -> None:
    windows, brute = SlidingWindows(DEFAULT), BruteForce(DEFAULT)
    samples = [Sample(0, k % 3, -5 * SECOND + k * 333_333, float(k)) for k in range(40)]
    assert update(windows, samples) == brute.update(samples)
    assert_equal_to_brute_force(windows, brute)


def test_a_snapshot_of_other_windows_is_refused() -> None:
    saved = SlidingWindows(DEFAULT).snapshot()
    with pytest.raises(ConfigError, match="checkpoint was written with length"):
        SlidingWindows(WindowSettings(length_s=20)).restore(saved)


def test_memory_stays_below_300_mb_for_ten_thousand_vehicles_of_thirty_signals() -> None:
    windows = SlidingWindows(DEFAULT)
    update(windows, [Sample(0, 999, EPOCH, 1.0)])
    per_series = sum(array.nbytes for array in windows.snapshot().values()) / 1000
    assert per_series * 300_000 < 300e6


@pytest.mark.parametrize("bad", [{"length_s": 1.5}, {"slide_s": 0}, {"lateness_s": -1}, {"slide_s": 0.001}])
def test_settings_refuse_what_has_no_panes(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        WindowSettings(**bad)
