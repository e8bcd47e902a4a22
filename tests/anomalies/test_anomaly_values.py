"""Detectors on values, one at a time, on sequences whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from anomaly_feed import Feed, Frame, opened, seen

from pipeline.anomalies.settings import AnomalySettings

QUIET = AnomalySettings(missing_message={"enabled": False}, flood={"enabled": False})


def signal(values, period=1.0, start=0.0, vehicle=0):
    return [Frame(start + k * period, vehicle=vehicle, values=(value,)) for k, value in enumerate(values)]


def smooth(count, seed=1, level=50.0, noise=0.3):
    rng = np.random.default_rng(seed)
    return np.round(level + 5 * np.sin(np.arange(count) / 8) + rng.normal(0, noise, count), 2)


def test_out_of_range_opens_extends_and_closes_once():
    feed = Feed([[(0.0, 100.0)]], settings=QUIET)
    events = feed.give(signal([50.0, 101.0, 103.0, 50.0, 50.0] + [50.0] * 20))
    assert seen(events) == [("out_of_range", 1.0, False), ("out_of_range", 1.0, True)]
    assert events.count.tolist() == [1, 2]
    assert events.value.tolist() == [101.0, 101.0]
    assert events.score[1] == pytest.approx(0.03, rel=1e-3)
    assert (events.end - events.timestamp).tolist() == [0, 1_000_000]
    assert feed.detector.open_count == 0


@pytest.mark.parametrize("value", [0.0, 100.0, 100.00000001])
def test_bounds_themselves_are_inside(value):
    assert len(Feed([[(0.0, 100.0)]], settings=QUIET).give(signal([value] * 3))) == 0


def test_infinity_is_out_of_range_and_nan_is_nothing():
    values = [50.0, math.nan, math.inf, 50.0]
    assert opened(Feed([[(0.0, 100.0)]], settings=QUIET).give(signal(values))) == [("out_of_range", 2.0)]
    assert len(Feed([[(math.nan, math.nan)]], settings=QUIET).give(signal(values))) == 0


def test_half_open_range():
    feed = Feed([[(math.nan, 100.0)]], settings=QUIET)
    assert opened(feed.give(signal([-1e9, 100.0, 101.0]))) == [("out_of_range", 2.0)]


def test_spike_is_one_deviation_and_its_return_is_none():
    values = smooth(60)
    values[30] += 60.0
    events = Feed([[(0.0, 200.0)]], settings=QUIET).give(signal(values))
    assert seen(events) == [("sudden_deviation", 30.0, False), ("sudden_deviation", 30.0, True)]
    assert events.count.tolist() == [1, 1]
    assert events.score[0] > 5.0


def test_spike_out_of_range_is_out_of_range_alone():
    values = smooth(60)
    values[30] = 260.0
    assert opened(Feed([[(0.0, 200.0)]], settings=QUIET).give(signal(values))) == [("out_of_range", 30.0)]


def test_small_spike_without_range_is_reported_with_the_next_value():
    values = smooth(60)
    values[30] += 25.0
    events = Feed([[(math.nan, math.nan)]], settings=QUIET).give(signal(values))
    assert opened(events) == [("sudden_deviation", 31.0)]


def test_spike_does_not_swallow_the_statistics():
    values = smooth(120)
    values[[30, 60, 90]] += 60.0
    events = Feed([[(0.0, 200.0)]], settings=QUIET).give(signal(values))
    assert opened(events) == [("sudden_deviation", 30.0), ("sudden_deviation", 60.0), ("sudden_deviation", 90.0)]


def test_level_shift_is_one_anomaly_and_then_normal():
    values = smooth(120)
    values[40:] += 60.0
    events = Feed([[(0.0, 200.0)]], settings=QUIET).give(signal(values))
    assert opened(events) == [("sudden_deviation", 40.0)]
    assert events.closed.tolist() == [False, True]


def test_nothing_learned_fires_before_warm_up():
    values = smooth(60)
    values[5] += 60.0
    assert len(Feed([[(0.0, 200.0)]], settings=QUIET).give(signal(values))) == 0


def test_ramp_is_a_rate_and_not_a_jump():
    values = smooth(250, noise=0.2)
    values[200:204] += [10.0, 20.0, 30.0, 30.0]
    events = Feed([[(-40.0, 215.0)]], settings=QUIET).give(signal(values))
    assert opened(events) == [("rate_of_change", 201.0)]
    assert events.closed.tolist() == [False, True]


def test_configured_rate_fires_with_the_first_step():
    settings = QUIET.model_copy(
        update={"signals": {"*.S0": AnomalySettings(signals={"x": {"rate_of_change": {"per_second": 5}}}).signals["x"]}}
    )
    events = Feed([[(-40.0, 215.0)]], settings=settings).give(signal([50.0, 51.0, 57.0, 57.5, 58.0]))
    assert opened(events) == [("rate_of_change", 2.0)]
    assert events.score[0] == pytest.approx(6.0 / 5.0)


def test_heading_may_wrap():
    values = (350.0 + 2.0 * np.arange(200) + np.random.default_rng(0).normal(0, 0.3, 200)) % 360.0
    assert len(Feed([[(0.0, 360.0)]], settings=QUIET).give(signal(np.round(values, 1)))) == 0


def test_stuck_fires_after_its_threshold_and_ends_with_the_first_change():
    values = smooth(80)
    values[30:55] = values[30]
    values[55:] += 4.0
    events = Feed([[(0.0, 200.0)]], settings=QUIET).give(signal(values))
    assert seen(events) == [("stuck", 42.0, False), ("stuck", 42.0, True)]
    assert events.end[1] - events.timestamp[1] == 12_000_000
    assert events.count.tolist() == [1, 13]


def test_frozen_message_is_one_anomaly():
    rng = np.random.default_rng(5)
    rows = np.round(rng.normal(50, 1, (80, 4)), 2)
    rows[30:60] = rows[30]
    feed = Feed([[(0.0, 200.0)] * 4], settings=QUIET)
    events = feed.give([Frame(float(k), values=tuple(row)) for k, row in enumerate(rows)])
    assert opened(events) == [("stuck", 42.0)]


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 100,
        [0.0] * 30 + [1.0] * 30 + [0.0] * 40,
        [0.0, 1.0] * 20 + [1.0] * 60,
        [3.0] * 20 + [4.0] * 3 + [5.0] * 50 + [1.0] * 20,
        [80.0 - 0.5 * (k // 25) for k in range(200)],
        [90.0, 90.1, 90.0, 90.2, 90.1, 90.3, 90.2] + [90.0] * 100,
    ],
    ids=["constant", "flag", "blinker", "gear", "fuel", "slow"],
)
def test_constant_by_nature(values):
    assert len(Feed([[(0.0, 255.0)]], settings=QUIET).give(signal(values))) == 0


def test_a_stop_is_no_standstill_of_sensors():
    rng = np.random.default_rng(3)
    speed = np.concatenate([50 + np.cumsum(rng.normal(0, 0.5, 40)), np.linspace(50, 0, 12), np.zeros(40)])
    odometer = 1000.0 + np.cumsum(speed) / 3600.0
    feed = Feed([[(0.0, 250.0)], [(0.0, 1e6)]], settings=QUIET)
    frames = []
    for k in range(len(speed)):
        frames.append(Frame(k, values=(round(speed[k], 2),)))
        frames.append(Frame(k + 0.5, message=1, values=(round(odometer[k], 4),)))
    assert len(feed.give(frames)) == 0


def test_brake_that_acts_after_long_rest_is_normal():
    rng = np.random.default_rng(2)
    pressure = np.round(1.2 + np.abs(rng.normal(0, 0.2, 120)), 1)
    pressure[60:66] += [18, 43, 43, 40, 30, 12]
    assert len(Feed([[(0.0, 250.0)]], settings=QUIET).give(signal(pressure, period=2.0))) == 0


def test_late_values_do_no_harm_but_their_range_is_judged():
    values = smooth(60)
    frames = signal(values)
    frames.insert(40, Frame(12.5, values=(150.0,)))
    frames.insert(45, Frame(13.5, values=(-3.0,)))
    feed = Feed([[(0.0, 200.0)]], settings=QUIET)
    before = Feed([[(0.0, 200.0)]], settings=QUIET)
    events = feed.give(frames)
    before.give(signal(values))
    assert opened(events) == [("out_of_range", 13.5)]
    assert feed.detector.snapshot()["learned"].tolist() == before.detector.snapshot()["learned"].tolist()


def test_sensor_that_flickers_is_one_anomaly():
    values = smooth(200)
    values[40:100:3] = 250.0
    values[41:100:6] += 90.0
    events = Feed([[(0.0, 200.0)]], settings=QUIET).give(signal(values))
    assert opened(events) == [("out_of_range", 40.0)]
    assert events.closed.tolist() == [False, True]


def test_overrides_reach_the_named_signals_alone():
    settings = AnomalySettings(
        missing_message={"enabled": False},
        signals={
            "M0.*": {"out_of_range": {"maximum": 60.0}},
            "*.S1": {"out_of_range": {"enabled": False}},
            "M7.Nobody": {"stuck": {"seconds": 5}},
        },
    )
    feed = Feed([[(0.0, 100.0), (0.0, 100.0)], [(0.0, 100.0)]], settings=settings)
    events = feed.give(
        [Frame(0.0, values=(70.0, 70.0)), Frame(0.1, message=1, values=(70.0,)), Frame(1.0, values=(70.0, 500.0))]
    )
    assert opened(events) == [("out_of_range", 0.0)]
    assert events.signal.tolist() == [0]
    assert feed.detector.unmatched_overrides == ("M7.Nobody",)
