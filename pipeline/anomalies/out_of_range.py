"""A value outside its bounds. Stateless, so it judges late values too, and infinities where a bound exists."""

from __future__ import annotations

from typing import Final

from numba import njit

from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.state import Row

KIND: Final = int(Kind.OUT_OF_RANGE)

_MOST: Final = 1e9


@njit(nogil=True, error_model="numpy")
def score(rule: Row, value: float) -> float:
    """Distance beyond the bound in widths of the range (in units, where the range is half open); 0 if inside."""
    if value >= rule.low and value <= rule.high:
        return 0.0
    beyond = rule.low - value if value < rule.low else value - rule.high
    if rule.span < _MOST:
        beyond /= rule.span
    return max(min(beyond, _MOST), 1e-9)
