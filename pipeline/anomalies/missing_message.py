"""A cyclic message that stays away while its vehicle goes on sending.

Absence is measured in the vehicle's active time, which stands still while nothing at all comes from it: a vehicle
that was offline for an hour misses no message. The cycle is the longer of the database's and the learned one, since
gateways thin messages out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.state import Row

KIND: Final = int(Kind.MISSING_MESSAGE)

NEVER: Final = np.int64(2**62)
_LONGEST: Final = 1.8
"""Times the longest normal gap, for messages that are sent on events."""


@njit(nogil=True, error_model="numpy")
def cycle(stream: Row, cycle_us: int) -> float:
    """Usual time between frames in seconds."""
    return max(cycle_us * 1e-6, stream.gap_s)


@njit(nogil=True, error_model="numpy")
def overdue_us(rules: Row, stream: Row, cycle_us: int) -> np.int64:
    """Active time after which the message is missing; NEVER while too few frames were seen."""
    if stream.message < 0 or rules.cycles == np.inf:
        return NEVER
    if stream.frames < (3 if cycle_us > 0 else rules.warm_frames):
        return NEVER
    allowed = max(rules.cycles * cycle(stream, cycle_us), _LONGEST * stream.longest_s, rules.absent_s)
    return stream.active_us + np.int64(allowed * 1e6)


@njit(nogil=True, error_model="numpy")
def score(stream: Row, cycle_us: int, active_us: int) -> float:
    """Absence in cycles."""
    return (active_us - stream.active_us) * 1e-6 / max(cycle(stream, cycle_us), 1e-6)
