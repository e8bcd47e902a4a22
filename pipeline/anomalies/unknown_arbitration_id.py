"""A frame whose id is in no database: reported once per vehicle and id, then again only after a long silence."""

from __future__ import annotations

from typing import Final

from numba import njit

from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.state import Row

KIND: Final = int(Kind.UNKNOWN_ARBITRATION_ID)


@njit(nogil=True, error_model="numpy")
def score(rules: Row, stream: Row) -> float:
    """1 for a stranger; 0 for ids of the databases and for those of a vehicle's first seconds, if so configured."""
    return 1.0 if rules.unknown and stream.message < 0 and not stream.background else 0.0
