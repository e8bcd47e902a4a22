"""Sequence gaps: frames that a vehicle counted and we never got, per vehicle and session.

Of a session only the lowest and the highest sequence number and the number of distinct frames are kept, which is all
that counting takes: missing = newest - oldest + 1 - received. The order of arrival plays no part, and a gap closes when
its frames come. Who feeds it makes sure that no frame is counted twice.

A vehicle keeps its `SESSIONS` highest session numbers, sorted, the current one first. So a kept session was never
dropped before, and its numbers are exact. A session that is pushed out leaves the number of frames it lacked; frames of
it that still come are counted as `late` and close nothing any more.

O(1) a frame: at most `SESSIONS` steps, one in live traffic. 272 bytes a vehicle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit

from pipeline.arrays import grown, length_for, read_only
from pipeline.types import I32, I64, U32, U64, Bools

SESSIONS: Final = 8
MOST: Final = 1 << 53
"""Nothing lacks more than this, however wild its numbers: exact in every JSON reader, and sums do not overflow."""

_SESSION, _OLDEST, _NEWEST, _RECEIVED = 0, 1, 2, 3
_MISSING, _LATE = 0, 1
_MOST, _ONE = np.uint64(MOST), np.uint64(1)


@dataclass(frozen=True, slots=True)
class SessionGaps:
    """One session of a vehicle: `missing` of the frames between `oldest` and `newest` did not come."""

    session: int
    oldest: int
    newest: int
    received: int
    missing: int


@dataclass(frozen=True, slots=True)
class VehicleGaps:
    """What a vehicle's sessions lack.

    Attributes:
        sessions: the ones followed, the current one first.
        earlier_missing: what sessions lacked when they were pushed out.
        earlier_late: frames that came for sessions too old to be followed.
    """

    sessions: list[SessionGaps]
    earlier_missing: int
    earlier_late: int

    @property
    def missing(self) -> int:
        """All that is missing."""
        return min(self.earlier_missing + sum(session.missing for session in self.sessions), MOST)


class SequenceGaps:
    """The sessions of all vehicles of a shard. One thread at a time."""

    def __init__(self) -> None:
        self._sessions: U64 = np.zeros((0, SESSIONS, 4), np.uint64)
        self._earlier: I64 = np.zeros((0, 2), np.int64)
        self._used = 0

    def count(self, vehicle: I32, session: U32, sequence: U64, rows: Bools) -> None:
        """Count the frames among `rows`, bool[n], all of them counted ones and none a duplicate. O(n).

        Args:
            vehicle: int32[n], dense vehicle indices.
            session: uint32[n].
            sequence: uint64[n].
            rows: bool[n].
        """
        self._reserve(length_for(vehicle))
        _count(
            read_only(vehicle),
            read_only(session),
            read_only(sequence),
            read_only(rows),
            self._sessions,
            self._earlier,
        )

    def add(self, vehicle: int, session: int, oldest: int, newest: int, received: int) -> None:
        """Count `received` distinct frames of one session at once, numbered from `oldest` to `newest`. O(1)."""
        self._reserve(vehicle + 1)
        _take(
            self._sessions,
            self._earlier,
            vehicle,
            np.uint64(session),
            np.uint64(oldest),
            np.uint64(newest),
            np.uint64(received),
        )

    def of(self, vehicle: int) -> VehicleGaps:
        """What one vehicle's sessions lack. O(1)."""
        if vehicle >= len(self._earlier):
            return VehicleGaps([], 0, 0)
        kept = [row for row in self._sessions[vehicle].tolist() if row[_RECEIVED]]
        sessions = [
            SessionGaps(session, oldest, newest, received, min(newest - oldest + 1 - received, MOST))
            for session, oldest, newest, received in kept
        ]
        missing, late = self._earlier[vehicle].tolist()
        return VehicleGaps(sessions, missing, late)

    def missing(self, vehicles: I32) -> int:
        """How many frames all of `vehicles`, int32[k], lack together. O(k)."""
        return int(_missing(read_only(vehicles), self._sessions, self._earlier))

    def forget(self, vehicle: int) -> int:
        """Know nothing of a vehicle any more; how many of its sessions were followed. O(1)."""
        if vehicle >= len(self._earlier):
            return 0
        sessions = int(np.count_nonzero(self._sessions[vehicle, :, _RECEIVED]))
        self._sessions[vehicle] = 0
        self._earlier[vehicle] = 0
        return sessions

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all state."""
        return {"sessions": self._sessions[: self._used].copy(), "earlier": self._earlier[: self._used].copy()}

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `snapshot` gave; nothing, from before there were gaps, leaves all as it is."""
        if arrays:
            self._sessions, self._earlier = arrays["sessions"], arrays["earlier"]
            self._used = len(self._earlier)

    @staticmethod
    def warm() -> None:
        """Compile the kernels, or load them from their cache."""
        scratch = SequenceGaps()
        scratch.count(np.zeros(1, np.int32), np.zeros(1, np.uint32), np.zeros(1, np.uint64), np.ones(1, np.bool_))
        scratch.add(0, 0, 1, 1, 1)
        scratch.missing(np.zeros(1, np.int32))

    def _reserve(self, vehicles: int) -> None:
        self._used = max(self._used, vehicles)
        self._sessions = grown(self._sessions, vehicles)
        self._earlier = grown(self._earlier, vehicles)


@njit(cache=True, nogil=True)
def _count(vehicle: I32, session: U32, sequence: U64, rows: Bools, sessions: U64, earlier: I64) -> None:
    for i in range(len(vehicle)):
        if rows[i]:
            number = np.uint64(session[i])
            _take(sessions, earlier, np.int64(vehicle[i]), number, sequence[i], sequence[i], _ONE)


@njit(cache=True, nogil=True)
def _missing(vehicles: I32, sessions: U64, earlier: I64) -> int:
    total = 0
    for v in vehicles:
        if v >= len(earlier):
            continue
        total = min(total + earlier[v, _MISSING], MOST)
        for k in range(sessions.shape[1]):
            if sessions[v, k, _RECEIVED] == 0:
                break
            total = min(total + _lacking(sessions[v, k]), MOST)
    return total


@njit(cache=True, nogil=True)
def _lacking(session: U64) -> np.int64:
    """What one session in use lacks."""
    return np.int64(min(session[_NEWEST] - session[_OLDEST] - (session[_RECEIVED] - _ONE), _MOST))


@njit(cache=True, nogil=True)
def _take(
    sessions: U64,
    earlier: I64,
    v: int,
    session: np.uint64,
    oldest: np.uint64,
    newest: np.uint64,
    received: np.uint64,
) -> None:
    """Merge one session's numbers into the vehicle's row, which is sorted by session, the highest first."""
    row = sessions[v]
    last = len(row) - 1
    at = 0
    while at <= last and row[at, _RECEIVED] != 0 and row[at, _SESSION] > session:
        at += 1
    if at > last:
        earlier[v, _LATE] += np.int64(received)
        return
    if row[at, _RECEIVED] != 0 and row[at, _SESSION] == session:
        row[at, _OLDEST] = min(row[at, _OLDEST], oldest)
        row[at, _NEWEST] = max(row[at, _NEWEST], newest)
        row[at, _RECEIVED] += received
        return
    if row[last, _RECEIVED] != 0:
        earlier[v, _MISSING] = min(earlier[v, _MISSING] + _lacking(row[last]), MOST)
    for k in range(last, at, -1):
        row[k] = row[k - 1]
    row[at, _SESSION], row[at, _OLDEST], row[at, _NEWEST], row[at, _RECEIVED] = session, oldest, newest, received
