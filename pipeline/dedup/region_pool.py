"""Sorted regions in one pool of (timestamp, content hash) entries: allocation and room at the end.

A region is 2**log2 consecutive entries of the pool, of which `count` from `head` on are in use, ascending by
(timestamp, hash). A vehicle's region is a row (start, log2, head, count); log2 0 means it has none. Freed regions are
kept in lists by size and split when a smaller one is needed (Knuth, TAOCP 1, 2.5, without the buddies' reunion).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.types import I64

START: Final = 0
LOG2: Final = 1
HEAD: Final = 2
COUNT: Final = 3

SMALLEST: Final = 5
"""Binary logarithm of a vehicle's first region."""
LARGEST: Final = 18
"""Binary logarithm of the longest region: bounds what one late frame can make the filter move."""
BUMP: Final = 63
"""Where the allocator keeps the start of untouched pool; below it, the free lists by binary logarithm."""


@njit(cache=True, nogil=True)
def make_room(regions: I64, dropped: I64, pool: I64, allocator: I64, v: int, wanted: int) -> None:
    """Let vehicle v's region have `wanted` free entries at its end; `wanted` is at most a quarter of the region.

    Moves the entries to the region's start if that frees a quarter of it, else into a region twice as long, else
    drops the older half. Each costs O(entries) and lasts for a number of appends in proportion.
    """
    region = regions[v]
    while region[HEAD] + region[COUNT] + wanted > np.int64(1) << region[LOG2]:
        if 4 * (region[COUNT] + wanted) <= np.int64(3) << region[LOG2]:
            _move(pool, region, region[START])
        elif not double(regions, pool, allocator, v):
            dropped[v] = _drop_older_half(pool, region)


@njit(cache=True, nogil=True)
def double(regions: I64, pool: I64, allocator: I64, v: int) -> bool:
    """Give a vehicle its first region, or move it into one twice as long; False where the pool has no room."""
    region = regions[v]
    start, log2 = region[START], region[LOG2]
    if log2 == LARGEST:
        return False
    # The last eighth of the pool is for first regions: vehicles that come late must not find it all taken.
    limit = len(pool) if log2 == 0 else len(pool) - len(pool) // 8
    larger = SMALLEST if log2 == 0 else log2 + 1
    fresh = _allocate(pool, allocator, larger, limit)
    if fresh < 0:
        return False
    if log2 != 0:
        _move(pool, region, fresh)
        _free(pool, allocator, start, log2)
    region[START] = fresh
    region[LOG2] = larger
    return True


@njit(cache=True, nogil=True)
def _move(pool: I64, region: I64, start: int) -> None:
    """Move a region's entries to `start`, which is its own start or outside of it."""
    first = region[START] + region[HEAD]
    for k in range(region[COUNT]):
        pool[start + k, 0] = pool[first + k, 0]
        pool[start + k, 1] = pool[first + k, 1]
    region[HEAD] = 0


@njit(cache=True, nogil=True)
def _drop_older_half(pool: I64, region: I64) -> int:
    """Drop every entry not newer than the median; returns its timestamp."""
    first = region[START] + region[HEAD]
    gone = region[COUNT] // 2
    median = pool[first + gone, 0]
    while gone < region[COUNT] and pool[first + gone, 0] == median:
        gone += 1
    region[HEAD] += gone
    region[COUNT] -= gone
    return median


@njit(cache=True, nogil=True)
def _allocate(pool: I64, allocator: I64, log2: int, limit: int) -> int:
    """Start of a region of 2**log2 entries, split from a larger free one if need be; -1 where none fits."""
    for size in range(log2, LARGEST + 1):
        if allocator[size] != 0:
            start = allocator[size] - 1
            allocator[size] = pool[start, 0]
            for half in range(log2, size):
                _free(pool, allocator, start + (np.int64(1) << half), half)
            return start
    start = allocator[BUMP]
    if start + (np.int64(1) << log2) > limit:
        return -1
    allocator[BUMP] = start + (np.int64(1) << log2)
    return start


@njit(cache=True, nogil=True)
def _free(pool: I64, allocator: I64, start: int, log2: int) -> None:
    """Chain a region into the free list of its size, through its first entry."""
    pool[start, 0] = allocator[log2]
    allocator[log2] = start + 1
