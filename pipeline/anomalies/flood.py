"""One id of a vehicle that comes far more often than it did, several frames in a row."""

from __future__ import annotations

from typing import Final

from numba import njit

from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.state import Row

KIND: Final = int(Kind.FLOOD)

_EVEN: Final = 0.2


@njit(nogil=True, error_model="numpy")
def usual(rules: Row, stream: Row) -> float:
    """Seconds between frames as learned; 0 until then, for a database says what a message may do, not what it does."""
    return stream.gap_s if stream.frames >= rules.warm_frames else 0.0


@njit(nogil=True, error_model="numpy")
def score(rules: Row, stream: Row, timestamp: int) -> float:
    """Rate of this frame in usual rates if it completes or continues a flood, else 0. Counts the run of fast frames.

    A frame in time takes two off the run, so that a flood with jitter stays one. Messages sent at uneven times need
    longer runs, since chance alone makes short gaps.
    """
    cycle = usual(rules, stream)
    gap = (timestamp - stream.last_us) * 1e-6
    if gap * rules.faster >= cycle:
        stream.burst = max(stream.burst - 2, 0)
        return 0.0
    if stream.burst == 0:
        stream.burst_us = stream.last_us
    need = rules.burst * (1.0 + 4.0 * max(stream.uneven - _EVEN, 0.0))
    # Bounded, so that the run is over soon after the flood is.
    stream.burst = min(stream.burst + 1, int(need) + 2)
    if stream.burst < need or timestamp - stream.burst_us < rules.burst_us:
        return 0.0
    return cycle / max(gap, 1e-3 * cycle)
