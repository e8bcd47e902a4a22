"""Late frames: what `SequenceGaps` must still learn of frames that only the warehouse could tell from duplicates.

Such a frame is not counted when it is accepted but when it is stored: only then it is known to be no duplicate. What
the confirmed insert adds is noted in the journal, by session and not by frame: a drive that is uploaded a day later is
one entry. Vehicles go by name, since their indices may differ after a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pipeline.types import I32, U32, U64


class LateFrames(NamedTuple):
    """Distinct frames of one session, `received` of them, numbered from `oldest` to `newest`."""

    fleet: str
    vehicle_id: str
    session: int
    oldest: int
    newest: int
    received: int


def late_frames(
    vehicle: I32, session: U32, sequence: U64, fleet_of: Callable[[int], str], name_of: Callable[[int], str]
) -> list[LateFrames]:
    """Gather frames by session.

    Args:
        vehicle: int32[n], dense vehicle indices.
        session: uint32[n].
        sequence: uint64[n].
        fleet_of: the fleet of a vehicle index.
        name_of: the id of a vehicle index.

    Returns:
        One entry a vehicle and session. O(n log n).
    """
    if not len(vehicle):
        return []
    order = np.lexsort((session, vehicle))
    vehicle, session, sequence = vehicle[order], session[order], sequence[order]
    first = np.flatnonzero(np.r_[True, (np.diff(vehicle) != 0) | (session[1:] != session[:-1])])
    columns = (
        vehicle[first],
        session[first],
        np.minimum.reduceat(sequence, first),
        np.maximum.reduceat(sequence, first),
        np.diff(np.r_[first, len(vehicle)]),
    )
    return [
        LateFrames(fleet_of(v), name_of(v), *numbers)
        for v, *numbers in zip(*(column.tolist() for column in columns), strict=True)
    ]
