"""Duplicates among frames without a counter: per vehicle a sorted set of (timestamp, content hash).

The timestamp is compared in full and the hash has 64 bits, so two different frames are taken for one only if they
carry the same microsecond and collide in 64 bits. Traffic comes nearly in order, and a sorted array makes that cheap:
a frame newer than all is new without a search and is appended; one a few places back is inserted as in insertion
sort; the stragglers of a batch are sorted and merged together. A hash table of the same content would cost a cache
miss a frame.

A set doubles while the pool has room; then it drops its older half and remembers the largest timestamp dropped: what
is not newer than that, it no longer knows.

Check: O(1) in order, O(log entries) behind. Mark: O(1) amortised in order; k stragglers of a batch cost
O(k log k) and one move of the entries behind the oldest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit

from pipeline.arrays import grown
from pipeline.dedup.region_pool import BUMP, COUNT, HEAD, LOG2, START, double, make_room
from pipeline.dedup.settings import DuplicateSettings
from pipeline.types import I32, I64, U8, Bools
from pipeline.verdicts import DUPLICATE, NEW, UNVERIFIED

_NEW, _DUPLICATE, _UNVERIFIED = np.uint8(NEW), np.uint8(DUPLICATE), np.uint8(UNVERIFIED)
_NEVER: Final = np.iinfo(np.int64).min
_NEAR: Final = 32
"""Entries a row may be behind the newest and still be inserted on the spot."""
_DONE, _FULL, _FAR = 0, 1, 2


class ContentSets:
    """The sets of all vehicles of a shard, in one pool of `content_entries` entries."""

    def __init__(self, settings: DuplicateSettings) -> None:
        self._budget = settings.content_entries
        self._stragglers: I32 = np.zeros(0, np.int32)
        self._regions: I64 = np.zeros((0, 4), np.int64)
        self._dropped: I64 = np.zeros(0, np.int64)
        self._clear(self._budget)

    def check(self, vehicle: I32, counted: Bools, timestamp: I64, hashes: I64, verdicts: U8) -> None:
        """Write the verdict of every row that is not counted.

        Args:
            vehicle: int32[n].
            counted: bool[n].
            timestamp: int64[n], microseconds.
            hashes: int64[n], from `hash_contents`; read only where not counted.
            verdicts: uint8[n], written only where not counted.
        """
        _check(vehicle, counted, timestamp, hashes, self._regions, self._dropped, self._pool, verdicts)

    def mark(self, vehicle: I32, counted: Bools, timestamp: I64, hashes: I64, rows: Bools, vehicles: int) -> None:
        """Remember the rows among `rows`, bool[n], that are not counted; vehicle indices are below `vehicles`."""
        self._regions = grown(self._regions, vehicles)
        self._dropped = grown(self._dropped, vehicles, fill=_NEVER)
        self._stragglers = grown(self._stragglers, len(vehicle))
        state = self._regions, self._dropped, self._pool, self._allocator
        count = _append(vehicle, counted, timestamp, hashes, rows, *state, self._stragglers)
        if count:
            late = self._stragglers[:count]
            late = late[np.lexsort((hashes[late], timestamp[late], vehicle[late]))]
            _merge(vehicle, timestamp, hashes, late, *state)

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all state."""
        return {
            "regions": self._regions.copy(),
            "dropped": self._dropped.copy(),
            "pool": self._pool[: self._allocator[BUMP]].copy(),
            "allocator": self._allocator.copy(),
        }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `snapshot` gave; under a smaller budget than the snapshot fills, all of it is kept."""
        pool = arrays["pool"]
        self._clear(max(self._budget, len(pool)))
        self._regions = arrays["regions"].copy()
        self._dropped = arrays["dropped"].copy()
        self._pool[: len(pool)] = pool
        self._allocator[:] = arrays["allocator"]

    def _clear(self, entries: int) -> None:
        # The whole budget is only address space: pages are committed as entries reach them.
        self._pool: I64 = np.zeros((entries, 2), np.int64)
        self._allocator: I64 = np.zeros(BUMP + 1, np.int64)


@njit(cache=True, nogil=True)
def _less(pool: I64, at: int, when: int, code: int) -> bool:
    """Whether the entry stands before (when, code)."""
    return pool[at, 0] < when or (pool[at, 0] == when and pool[at, 1] < code)


@njit(cache=True, nogil=True)
def _equal(pool: I64, at: int, when: int, code: int) -> bool:
    return pool[at, 0] == when and pool[at, 1] == code


@njit(cache=True, nogil=True)
def _position(pool: I64, first: int, end: int, when: int, code: int) -> int:
    """The first entry in [first, end) that does not stand before (when, code); `end` if all do."""
    while first < end:
        middle = (first + end) >> 1
        if _less(pool, middle, when, code):
            first = middle + 1
        else:
            end = middle
    return first


@njit(cache=True, nogil=True)
def _check(
    vehicle: I32, counted: Bools, timestamp: I64, hashes: I64, regions: I64, dropped: I64, pool: I64, verdicts: U8
) -> None:
    vehicles = len(dropped)
    for i in range(len(vehicle)):
        if counted[i]:
            continue
        v, when, verdict = vehicle[i], timestamp[i], _NEW
        if v < vehicles:
            first = regions[v, START] + regions[v, HEAD]
            end = first + regions[v, COUNT]
            if when <= dropped[v]:
                verdict = _UNVERIFIED
            elif first < end and when <= pool[end - 1, 0]:
                at = _position(pool, first, end, when, hashes[i])
                if at < end and _equal(pool, at, when, hashes[i]):
                    verdict = _DUPLICATE
        verdicts[i] = verdict


@njit(cache=True, nogil=True)
def _append(
    vehicle: I32,
    counted: Bools,
    timestamp: I64,
    hashes: I64,
    rows: Bools,
    regions: I64,
    dropped: I64,
    pool: I64,
    allocator: I64,
    stragglers: I32,
) -> int:
    """Mark the rows at or near the end of their set; collects the others and returns how many they are."""
    count = 0
    for i in range(len(vehicle)):
        if counted[i] or not rows[i]:
            continue
        v, when, code = vehicle[i], timestamp[i], hashes[i]
        if when <= dropped[v]:
            continue
        if regions[v, LOG2] == 0 and not double(regions, pool, allocator, v):
            dropped[v] = when
            continue
        outcome = _insert_near(pool, regions[v], when, code)
        if outcome == _FULL:
            make_room(regions, dropped, pool, allocator, v, 1)
            if when <= dropped[v]:
                continue
            outcome = _insert_near(pool, regions[v], when, code)
        if outcome == _FAR:
            stragglers[count] = i
            count += 1
    return count


@njit(cache=True, nogil=True)
def _insert_near(pool: I64, region: I64, when: int, code: int) -> int:
    """Insert (when, code) if it belongs among the newest entries and the region has room at its end."""
    first = region[START] + region[HEAD]
    end = first + region[COUNT]
    at = end
    while at > first and not _less(pool, at - 1, when, code):
        if _equal(pool, at - 1, when, code):
            return _DONE
        if end - at == _NEAR:
            return _FAR
        at -= 1
    if end == region[START] + (np.int64(1) << region[LOG2]):
        return _FULL
    for k in range(end, at, -1):
        pool[k, 0] = pool[k - 1, 0]
        pool[k, 1] = pool[k - 1, 1]
    pool[at, 0] = when
    pool[at, 1] = code
    region[COUNT] += 1
    return _DONE


@njit(cache=True, nogil=True)
def _merge(
    vehicle: I32, timestamp: I64, hashes: I64, late: I32, regions: I64, dropped: I64, pool: I64, allocator: I64
) -> None:
    """Mark `late` rows, sorted by vehicle, timestamp and hash: as many at once as fill a quarter of the region."""
    fresh = np.empty(len(late), np.int32)
    k = 0
    while k < len(late):
        v = vehicle[late[k]]
        most = (np.int64(1) << regions[v, LOG2]) >> 2
        count = 0
        while k < len(late) and vehicle[late[k]] == v and count < most:
            i = late[k]
            k += 1
            again = count > 0 and timestamp[fresh[count - 1]] == timestamp[i] and hashes[fresh[count - 1]] == hashes[i]
            first = regions[v, START] + regions[v, HEAD]
            end = first + regions[v, COUNT]
            at = _position(pool, first, end, timestamp[i], hashes[i])
            if not again and timestamp[i] > dropped[v] and not (at < end and _equal(pool, at, timestamp[i], hashes[i])):
                fresh[count] = i
                count += 1
        if count:
            make_room(regions, dropped, pool, allocator, v, count)
            _merge_from_the_end(timestamp, hashes, fresh[:count], regions[v], dropped[v], pool)


@njit(cache=True, nogil=True)
def _merge_from_the_end(timestamp: I64, hashes: I64, fresh: I32, region: I64, dropped: int, pool: I64) -> None:
    """Merge sorted rows, none of them present, into a region with room for them; those not above `dropped` stay out."""
    skip = 0
    while skip < len(fresh) and timestamp[fresh[skip]] <= dropped:
        skip += 1
    first = region[START] + region[HEAD]
    source = first + region[COUNT] - 1
    region[COUNT] += len(fresh) - skip
    for j in range(len(fresh) - 1, skip - 1, -1):
        when, code = timestamp[fresh[j]], hashes[fresh[j]]
        while source >= first and not _less(pool, source, when, code):
            pool[source + 1 + j - skip, 0] = pool[source, 0]
            pool[source + 1 + j - skip, 1] = pool[source, 1]
            source -= 1
        pool[source + 1 + j - skip, 0] = when
        pool[source + 1 + j - skip, 1] = code
