"""A value that changes faster than it can: over a configured limit, or over a learned one for two steps in a row."""

from __future__ import annotations

from typing import Final

from numba import njit

from pipeline.anomalies.baseline import caution
from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.state import Row

KIND: Final = int(Kind.RATE_OF_CHANGE)


@njit(nogil=True, error_model="numpy")
def score(rule: Row, rate: float) -> float:
    """Rate in configured limits; 0 if below, or where none is configured."""
    return abs(rate) / rule.limit if abs(rate) > rule.limit else 0.0


@njit(nogil=True, error_model="numpy")
def learned_score(rule: Row, learned: Row, rate: float) -> float:
    """Rate in learned limits; 0 if below, or where a limit is configured."""
    limit = (rule.factor + caution(learned)) * learned.rate
    return abs(rate) / limit if abs(rate) > limit else 0.0
