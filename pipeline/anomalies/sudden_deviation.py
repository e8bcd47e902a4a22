"""A value that jumped: too far for the series' own EWMA statistics and too fast for the signal anywhere."""

from __future__ import annotations

from typing import Final

from numba import njit

from pipeline.anomalies.baseline import caution, deviation
from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.state import Row

KIND: Final = int(Kind.SUDDEN_DEVIATION)


@njit(nogil=True, error_model="numpy")
def score(rule: Row, series: Row, learned: Row, rate: float, seconds: float) -> float:
    """z-score of a step of `rate` per second over `seconds`; 0 if normal."""
    if abs(rate) <= (rule.margin + caution(learned)) * learned.rate:
        return 0.0
    z = deviation(series, learned, rate, seconds)
    return z if z > rule.z else 0.0
