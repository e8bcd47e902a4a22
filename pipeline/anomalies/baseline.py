"""What is normal, learned: a series learns its own steps, a signal learns from all vehicles of the shard.

A vehicle seen for ten seconds cannot know how hard its brakes act or how far its engine speed falls when it shifts.
The fleet can. So a step is judged against two things: EWMA mean and variance of the series' own rate of change, and
the fastest normal rate of that signal anywhere, a tail quantile tracked by multiplicative stochastic approximation
(a rate above the estimate raises it by a tenth at most, one below lowers it by 1e-5: it settles where one change in
10,000 lies above). Only values that no detector objects to teach.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from pipeline.anomalies.state import Row

ALPHA: Final = 0.1
_RAISE: Final = 1.1
_LOWER: Final = 1.0 - 1e-5
_FIRST: Final = 200
"""Changes of a signal during which the estimate is their maximum."""
_WAKING: Final = 5
_HASH: Final = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, error_model="numpy")
def elapsed(series: Row, since_us: int, timestamp: int) -> float:
    """Seconds between two values, at least half the usual period: frames that were bunched make no false rates."""
    return max((timestamp - since_us) * 1e-6, 0.5 * series.period_s)


@njit(nogil=True, error_model="numpy")
def difference(rule: Row, learned: Row, value: float, level: float, seconds: float) -> float:
    """`value - level`, the short way round for an angle, and for a counter that starts again at its other bound.

    For the latter the short way must be a normal step.
    """
    step = value - level
    if abs(step) > 0.5 * rule.span:
        around = step - rule.span if step > 0 else step + rule.span
        if rule.circle or abs(around) <= 2.0 * learned.quantum + learned.rate * seconds:
            return around
    return step


@njit(nogil=True, error_model="numpy")
def caution(learned: Row) -> float:
    """Added to margins while few changes of a signal were seen, 40/√n: it spares a lone vehicle false alarms."""
    return 40.0 / math.sqrt(learned.changes + 1.0)


@njit(nogil=True, error_model="numpy")
def is_quantity(rule: Row, learned: Row) -> bool:
    """Whether the signal measures something: states and flags jump by nature.

    It took six different values, and twelve unless its range has 32 steps or more.
    """
    if rule.discrete or learned.distinct < 6:
        return False
    return learned.distinct >= 12 or (rule.span < math.inf and rule.span >= 32.0 * learned.quantum)


@njit(nogil=True, error_model="numpy")
def is_warm(rules: Row, series: Row, learned: Row, timestamp: int) -> bool:
    """Whether the series is old enough for learned limits; few own values do if the fleet knows the signal well."""
    if timestamp - series.first_us < rules.warm_us or learned.changes < rules.warm_samples:
        return False
    return series.samples >= rules.warm_samples or (series.samples >= 2 and learned.changes >= 20 * rules.warm_samples)


@njit(nogil=True, error_model="numpy")
def deviation(series: Row, learned: Row, rate: float, seconds: float) -> float:
    """z-score of a rate; the deviation counts as one encoding step, or a fifth of the fleet's tail, at least."""
    floor = max(learned.quantum / seconds, 0.2 * learned.rate)
    return abs(rate - series.mean) / max(math.sqrt(series.variance), floor)


@njit(nogil=True, error_model="numpy")
def wake(rule: Row, series: Row, value: float) -> None:
    """Note with a normal value whether the signal is at rest near a bound, or was within the last few values.

    What rests there, as a released brake does, is silent for long and then acts at once. No history tells how fast,
    so its first steps are judged by the range alone, and they teach.
    """
    if value <= rule.rest_low or value >= rule.rest_high:
        series.waking = np.uint8(_WAKING)
    elif series.waking > 0:
        series.waking -= np.uint8(1)


@njit(nogil=True, error_model="numpy")
def learn_own(series: Row, rate: float) -> None:
    """EWMA mean and variance (West's incremental form), plain averages over the first ten."""
    weight = ALPHA if series.samples >= 10 else 1.0 / (series.samples + 1.0)
    off = rate - series.mean
    series.mean += weight * off
    series.variance = (1.0 - weight) * (series.variance + weight * off * off)


@njit(nogil=True, error_model="numpy")
def learn_signal(learned: Row, step: float, rate: float, value: float, surely: bool) -> None:
    """Teach the signal one change; `rate` and `step` are absolute, `step` is not 0; `surely` takes the rate at once."""
    learned.changes += 1
    if learned.quantum == 0.0 or step < learned.quantum:
        learned.quantum = step
    learned.rate = max(rate, learned.rate) if surely else tail(learned.rate, rate, learned.changes)
    if learned.distinct < 24:
        bits = np.int64(value * 1024.0) if abs(value) < 1e12 else np.int64(0)
        bit = np.uint64(1) << ((np.uint64(bits) * _HASH) >> np.uint64(58))
        if not learned.mask & bit:
            learned.mask |= bit
            learned.distinct += 1


@njit(nogil=True, error_model="numpy")
def tail(estimate: float, observed: float, count: int) -> float:
    """Next estimate of the tail quantile after `count` observations."""
    if observed > estimate:
        return observed if count <= _FIRST else min(observed, _RAISE * estimate)
    return estimate * _LOWER
