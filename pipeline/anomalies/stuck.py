"""A signal that varies by nature and stands still, bit for bit, for longer than it ever did.

Still values are normal in many ways, and each is told apart: a signal that rests at a bound of its range (a released
brake, a parked car's speed); one that repeats values anyway (a fuel level); and one that stands still because the
whole vehicle does (an odometer). The last is seen from its company: another signal came to rest at the same time.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from pipeline.anomalies.baseline import ALPHA, tail
from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.state import Row

KIND: Final = int(Kind.STUCK)

_VARIES: Final = 2.5
"""Mean number of identical values in a row of a signal that varies."""
_RUNS: Final = 6
_RARELY: Final = 0.02
_CHANCE: Final = math.log(1e-9)
"""Least chance that a value repeats, and chance of a run of repeats that is no accident."""
_TOGETHER_US: Final = 4_000_000
"""Signals that came to rest within this time, and still are, have one cause."""


@njit(nogil=True, error_model="numpy")
def is_rest(rule: Row, value: float) -> bool:
    """Whether a signal may stand still at this value: at a bound of its range, or at zero where it has none."""
    if rule.span == math.inf:
        return value == 0.0
    return value <= rule.low + 1e-4 * rule.span or value >= rule.high - 1e-4 * rule.span


@njit(nogil=True, error_model="numpy")
def score(rule: Row, series: Row, learned: Row, vehicle: Row, value: float, timestamp: int) -> float:
    """Standstill in thresholds; 0 if normal. Call it for a value equal to the one before."""
    if series.run < rule.still_samples or series.runs < _RUNS or series.mean_run > _VARIES:
        return 0.0
    still_s = (timestamp - series.changed_us) * 1e-6
    if still_s < 0.5 * rule.still_s:
        return 0.0
    if is_rest(rule, value):
        if not series.resting:
            series.resting = True
            vehicle.rests_us[vehicle.rest] = series.changed_us
            vehicle.rest = (vehicle.rest + 1) % 4
        return 0.0
    threshold = max(rule.still_s, rule.still_factor * learned.still_s)
    if still_s < threshold:
        return 0.0
    repeat = max(1.0 - 1.0 / series.mean_run, learned.repeats / (learned.repeats + learned.changes + 1.0), _RARELY)
    if (series.run - 1) * math.log(repeat) > _CHANCE:
        return 0.0
    for at in vehicle.rests_us:
        if abs(at - series.changed_us) <= _TOGETHER_US:
            return 0.0
    return still_s / threshold


@njit(nogil=True, error_model="numpy")
def changed(series: Row, learned: Row, vehicle: Row, timestamp: int, normal: bool) -> None:
    """A run of identical values ended; it teaches unless an anomaly explains it."""
    if series.resting:
        for place in range(len(vehicle.rests_us)):
            if vehicle.rests_us[place] == series.changed_us:
                vehicle.rests_us[place] = 0
    if normal:
        series.mean_run += max(ALPHA, 1.0 / (series.runs + 1.0)) * (series.run - series.mean_run)
        if series.run > 1 and not series.resting:
            learned.repeats += series.run - 1
            learned.stills += 1
            learned.still_s = tail(learned.still_s, (series.last_us - series.changed_us) * 1e-6, learned.stills)
    if series.runs < 60_000:
        series.runs += np.uint16(1)
    series.run = 1
    series.resting = False
    series.changed_us = timestamp
