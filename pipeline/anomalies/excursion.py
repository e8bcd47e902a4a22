"""What one value does to its series: normal, the begin of an excursion, part of one, or the way back.

Jumps and ramps look alike at one or two values a second, and what follows tells them apart. The newest normal value is
kept as the anchor of an excursion until the signal comes back to it, which is no second jump, or settles elsewhere
for a few values, which then is the new normal. Values of an excursion teach nothing, so one spike neither widens the
statistics nor becomes their level. Precedence: out of range, then jump, then ramp; a value is one of them.

A step over `at_once` of the range is reported immediately. A smaller one waits for the next value: further the same
way is a ramp, anything else was a jump.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.anomalies import rate_of_change, stuck, sudden_deviation
from pipeline.anomalies.baseline import (
    ALPHA,
    caution,
    difference,
    elapsed,
    is_quantity,
    is_warm,
    learn_own,
    learn_signal,
    wake,
)
from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.state import Row

NORMAL: Final = 0
WAITING: Final = 1
"""One step was too large; the next value decides what it was."""
AWAY: Final = 2
"""It was a jump, or a value out of range."""
RAMP: Final = 3
_SETTLED: Final = 3
"""Values in a new place that make it the new normal."""

_SAME: Final = 1.3
_FORGET: Final = 0.999

QUIET: Final = -1
_DEVIATION: Final = int(Kind.SUDDEN_DEVIATION)
_RATE: Final = int(Kind.RATE_OF_CHANGE)
_STUCK: Final = int(Kind.STUCK)


@njit(nogil=True, error_model="numpy")
def start(series: Row, value: float, timestamp: int) -> None:
    """The first value of a series."""
    series.level = value
    series.level_us = timestamp
    series.last_us = timestamp
    series.first_us = timestamp
    series.changed_us = timestamp
    series.samples = 1
    series.run = 1


@njit(nogil=True, error_model="numpy")
def settle(series: Row, value: float, timestamp: int) -> None:
    """`value` is normal: the anchor of what comes."""
    series.level = value
    series.level_us = timestamp
    series.last_us = timestamp
    series.mode = NORMAL


@njit(nogil=True, error_model="numpy")
def leave(series: Row, value: float, timestamp: int, step: float, mode: int) -> None:
    """`value` is not normal: an excursion begins, or goes on."""
    series.suspect = value
    series.last_us = timestamp
    series.direction = np.int8(1) if step > 0 else np.int8(-1)
    series.mode = mode
    series.away = np.uint8(0)
    series.run = 1
    series.changed_us = timestamp


@njit(nogil=True, error_model="numpy")
def news(series: Row, rate: float) -> bool:
    """Whether a small excursion is faster than those that this series was reported for; it is remembered as one."""
    known = abs(rate) < _SAME * series.tolerated
    series.tolerated = max(series.tolerated, abs(rate))
    return not known


@njit(nogil=True, error_model="numpy")
def step_normal(
    rules: Row, rule: Row, series: Row, learned: Row, vehicle: Row, value: float, timestamp: int, was_stuck: bool
) -> tuple[int, float]:
    """Judge and learn a changed value of a series that was normal. Gives (kind or QUIET, score)."""
    seconds = elapsed(series, series.level_us, timestamp)
    step = difference(rule, learned, value, series.level, seconds)
    rate = step / seconds
    if was_stuck:
        stuck.changed(series, learned, vehicle, timestamp, False)
        settle(series, value, timestamp)
        return QUIET, 0.0
    fixed = rate_of_change.score(rule, rate)
    if fixed > 0.0 or abs(rate) > learned.rate:
        jump = 0.0
        ramp = 0.0
        waking = series.waking > 0
        if is_warm(rules, series, learned, timestamp) and is_quantity(rule, learned):
            jump = sudden_deviation.score(rule, series, learned, rate, seconds)
            ramp = rate_of_change.learned_score(rule, learned, rate)
        if waking:
            ramp = 0.0
            jump = jump if abs(step) >= 2.0 * rule.at_once else 0.0
        if jump > 0.0 and abs(step) >= rule.at_once:
            leave(series, value, timestamp, step, AWAY)
            return _DEVIATION, jump
        if fixed > 0.0:
            leave(series, value, timestamp, step, RAMP)
            return _RATE, fixed
        if jump > 0.0 or ramp > 0.0:
            leave(series, value, timestamp, step, WAITING)
            return QUIET, 0.0
    stuck.changed(series, learned, vehicle, timestamp, True)
    learn_own(series, rate)
    series.tolerated *= _FORGET
    learn_signal(learned, abs(step), abs(rate), value, series.waking > 0)
    wake(rule, series, value)
    settle(series, value, timestamp)
    return QUIET, 0.0


@njit(nogil=True, error_model="numpy")
def step_excursion(rule: Row, series: Row, learned: Row, value: float, timestamp: int) -> tuple[int, float]:
    """Judge a value of a series that is on an excursion. Gives (kind or QUIET, score).

    Score 0 goes on with what is open, and opens nothing.
    """
    seconds = elapsed(series, series.level_us, timestamp)
    step = difference(rule, learned, value, series.level, seconds)
    first_seconds = elapsed(series, series.level_us, series.last_us)
    first_step = series.suspect - series.level
    waiting = series.mode == WAITING
    verdict = QUIET
    score = 0.0
    limit = (rule.margin + caution(learned)) * learned.rate
    if abs(step) <= limit * seconds + learned.quantum or abs(step) <= 0.1 * abs(first_step):
        if waiting:
            score = sudden_deviation.score(rule, series, learned, first_step / first_seconds, first_seconds)
            verdict = _DEVIATION if score > 0.0 and news(series, first_step / first_seconds) else QUIET
        settle(series, value, timestamp)
        return verdict, score
    further = value - series.suspect
    rate = further / elapsed(series, series.last_us, timestamp)
    ramp = max(rate_of_change.score(rule, rate), rate_of_change.learned_score(rule, learned, 2.0 * rate))
    if ramp > 0.0 and further * series.direction > 0.0:
        leave(series, value, timestamp, step, RAMP if waiting else series.mode)
        if not news(series, rate):
            ramp = 0.0
        return (_RATE if series.mode == RAMP else _DEVIATION), ramp
    if waiting:
        score = sudden_deviation.score(rule, series, learned, first_step / first_seconds, first_seconds)
        verdict = _DEVIATION if score > 0.0 and news(series, first_step / first_seconds) else QUIET
        series.mode = AWAY
    elif series.mode == AWAY:
        verdict = _DEVIATION
    series.suspect = value
    series.last_us = timestamp
    series.away += 1
    if series.away >= _SETTLED:
        learn_signal(learned, abs(first_step), min(abs(first_step) / first_seconds, 2.0 * learned.rate), value, True)
        settle(series, value, timestamp)
    return verdict, score


@njit(nogil=True, error_model="numpy")
def count(series: Row, timestamp: int) -> None:
    """Time and number of a value, before it is judged; values that come in bursts hardly shorten the period."""
    gap = (timestamp - series.last_us) * 1e-6
    weight = ALPHA if series.samples >= 10 else 1.0 / series.samples
    if gap < 0.25 * series.period_s:
        weight *= 0.02
    series.period_s += weight * (gap - series.period_s)
    if series.samples < 1_000_000:
        series.samples += 1
