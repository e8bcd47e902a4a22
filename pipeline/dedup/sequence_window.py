"""Duplicates among counted frames: a sliding bitmap per vehicle and session.

Source: RFC 6479 (IPsec anti-replay without bit shifting). A ring of 64-bit words holds one bit per sequence number;
advancing clears whole words, so the window is exact in blocks of 64. Two additions make it exact about what it has
forgotten, where the RFC may simply refuse:

- `floor`, per session: blocks below it have lost marks. It rises only when a word that is dropped had bits, or when
  a row is marked that the ring cannot hold. What lies behind the ring but not below the floor was never marked.
- `forgotten`, per vehicle: the largest session number dropped so far, plus one. A vehicle keeps the sessions with the
  highest numbers, so every session marked so far is either kept or below `forgotten`.

Check and mark: O(1) a row, plus O(words advanced) in total.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from pipeline.arrays import grown
from pipeline.dedup.settings import DuplicateSettings
from pipeline.types import I32, I64, U8, U32, U64, Bools
from pipeline.verdicts import DUPLICATE, NEW, UNVERIFIED

_NEW, _DUPLICATE, _UNVERIFIED = np.uint8(NEW), np.uint8(DUPLICATE), np.uint8(UNVERIFIED)
_ONE, _SIX, _LOW_SIX = np.uint64(1), np.uint64(6), np.uint64(63)


class SequenceWindows:
    """The sessions and bitmaps of all vehicles of a shard."""

    def __init__(self, settings: DuplicateSettings) -> None:
        self._words = settings.window_bits // 64
        self._kept = settings.sessions
        self._used = 0
        self._clear()

    def check(self, vehicle: I32, counted: Bools, session: U32, sequence: U64, verdicts: U8) -> None:
        """Write the verdict of every counted row into `verdicts`, uint8[n]; the others are left alone."""
        _check(
            vehicle,
            counted,
            session,
            sequence,
            self._sessions,
            self._rings_of,
            self._forgotten,
            self._bounds,
            self._rings,
            verdicts,
        )

    def mark(self, vehicle: I32, counted: Bools, session: U32, sequence: U64, rows: Bools, vehicles: int) -> None:
        """Remember the counted rows among `rows`, bool[n]; every vehicle index is below `vehicles`."""
        self._reserve(vehicles)
        self._used = _mark(
            vehicle,
            counted,
            session,
            sequence,
            rows,
            self._sessions,
            self._rings_of,
            self._forgotten,
            self._bounds,
            self._rings,
            self._used,
        )

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all state."""
        return {
            "sessions": self._sessions.copy(),
            "rings_of": self._rings_of.copy(),
            "forgotten": self._forgotten.copy(),
            "bounds": self._bounds[: self._used].copy(),
            "rings": self._rings[: self._used].copy(),
        }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `snapshot` gave, also one taken with another window width or fewer sessions.

        A vehicle keeps at least as many sessions as the snapshot's did.
        """
        vehicles, kept = arrays["sessions"].shape
        self._kept = max(self._kept, kept)
        self._clear()
        self._reserve(vehicles)
        self._sessions[:vehicles, :kept] = arrays["sessions"]
        self._rings_of[:vehicles, :kept] = arrays["rings_of"]
        self._forgotten[:vehicles] = arrays["forgotten"]
        self._used = len(arrays["rings"])
        self._bounds[: self._used] = arrays["bounds"]
        self._refit(np.asarray(arrays["rings"], np.uint64))

    def _clear(self) -> None:
        self._used = 0
        self._sessions: U32 = np.zeros((0, self._kept), np.uint32)
        self._rings_of: I32 = np.zeros((0, self._kept), np.int32)
        self._forgotten: I64 = np.zeros(0, np.int64)
        self._bounds: I64 = np.zeros((0, 2), np.int64)
        self._rings: U64 = np.zeros((0, self._words), np.uint64)

    def _reserve(self, vehicles: int) -> None:
        if vehicles <= len(self._forgotten):
            return
        self._sessions = grown(self._sessions, vehicles)
        self._rings_of = grown(self._rings_of, vehicles)
        self._forgotten = grown(self._forgotten, vehicles)
        # Room for every session of every vehicle: rings are handed out in order, and pages behind the last one in
        # use are never touched, so only vehicles that count cost memory.
        rings = np.zeros((len(self._forgotten) * self._kept, self._words), np.uint64)
        rings[: self._used] = self._rings[: self._used]
        bounds = np.zeros((len(rings), 2), np.int64)
        bounds[: self._used] = self._bounds[: self._used]
        self._rings, self._bounds = rings, bounds

    def _refit(self, rings: U64) -> None:
        """Lay rings of any width into ours, block by block."""
        n, words = rings.shape
        each, top = np.arange(n), self._bounds[:n, 0]
        for back in range(min(words, self._words)):
            block = top - back
            there = block >= 0
            self._rings[each[there], block[there] % self._words] = rings[each[there], block[there] % words]
        if words > self._words:
            np.maximum(self._bounds[:n, 1], top - self._words + 1, out=self._bounds[:n, 1])


@njit(cache=True, nogil=True)
def _ring_of(sessions: U32, rings_of: I32, v: int, session: int) -> int:
    for k in range(sessions.shape[1]):
        if sessions[v, k] == session and rings_of[v, k] != 0:
            return rings_of[v, k] - 1
    return -1


@njit(cache=True, nogil=True)
def _check(
    vehicle: I32,
    counted: Bools,
    session: U32,
    sequence: U64,
    sessions: U32,
    rings_of: I32,
    forgotten: I64,
    bounds: I64,
    rings: U64,
    verdicts: U8,
) -> None:
    vehicles = len(forgotten)
    mask = rings.shape[1] - 1
    for i in range(len(vehicle)):
        if not counted[i]:
            continue
        v, verdict = vehicle[i], _NEW
        if v < vehicles:
            ring = _ring_of(sessions, rings_of, v, session[i])
            if ring >= 0:
                block = np.int64(sequence[i] >> _SIX)
                top = bounds[ring, 0]
                if block < bounds[ring, 1]:
                    verdict = _UNVERIFIED
                elif block <= top and top - block <= mask:
                    bit = (rings[ring, block & mask] >> (sequence[i] & _LOW_SIX)) & _ONE
                    verdict = _DUPLICATE if bit else _NEW
            elif np.int64(session[i]) < forgotten[v]:
                verdict = _UNVERIFIED
        verdicts[i] = verdict


@njit(cache=True, nogil=True)
def _mark(
    vehicle: I32,
    counted: Bools,
    session: U32,
    sequence: U64,
    rows: Bools,
    sessions: U32,
    rings_of: I32,
    forgotten: I64,
    bounds: I64,
    rings: U64,
    used: int,
) -> int:
    """Mark rows; returns the number of rings in use."""
    mask = rings.shape[1] - 1
    for i in range(len(vehicle)):
        if not (counted[i] and rows[i]):
            continue
        v = vehicle[i]
        block = np.int64(sequence[i] >> _SIX)
        ring = _ring_of(sessions, rings_of, v, session[i])
        if ring < 0:
            ring = _open(sessions, rings_of, forgotten, rings, v, session[i], used)
            if ring < 0:
                continue
            used = max(used, ring + 1)
            bounds[ring, 0] = block
            bounds[ring, 1] = 0
        top = bounds[ring, 0]
        if block < bounds[ring, 1]:
            continue
        if top - block > mask:
            bounds[ring, 1] = block + 1
            continue
        if block > top:
            _advance(bounds, rings, ring, block)
        rings[ring, block & mask] |= _ONE << (sequence[i] & _LOW_SIX)
    return used


@njit(cache=True, nogil=True)
def _open(sessions: U32, rings_of: I32, forgotten: I64, rings: U64, v: int, session: int, used: int) -> int:
    """A cleared ring for a session not kept: a fresh one, or the lowest session's; -1 if it is itself the lowest."""
    number = np.int64(session)
    if number < forgotten[v]:
        return -1
    lowest = 0
    for k in range(sessions.shape[1]):
        if rings_of[v, k] == 0:
            sessions[v, k] = session
            rings_of[v, k] = used + 1
            return used
        if sessions[v, k] < sessions[v, lowest]:
            lowest = k
    if number < np.int64(sessions[v, lowest]):
        forgotten[v] = number + 1
        return -1
    forgotten[v] = np.int64(sessions[v, lowest]) + 1
    sessions[v, lowest] = session
    ring = rings_of[v, lowest] - 1
    rings[ring, :] = 0
    return ring


@njit(cache=True, nogil=True)
def _advance(bounds: I64, rings: U64, ring: int, block: int) -> None:
    """Move a ring's top up to `block`, clearing the words it takes from older blocks."""
    words = rings.shape[1]
    mask = words - 1
    top = bounds[ring, 0]
    for old in range(max(top - words + 1, 0), min(block - words, top) + 1):
        if rings[ring, old & mask] != 0:
            rings[ring, old & mask] = 0
            bounds[ring, 1] = old + 1
    bounds[ring, 0] = block
