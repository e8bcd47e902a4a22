"""Packed panes: what a checkpoint keeps of the windows.

Most panes are empty or hold one value, of which 24 of 56 bytes say everything; a fleet's panes pack to a sixth.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.types import F64, I32, I64
from pipeline.windows.panes import COUNT, LAST, MAXIMUM, MEAN, MINIMUM, NEVER, NUMBER, OFFSET, SQUARES

SINGLE: Final = np.dtype(
    [("number", np.int64), ("value", np.float64), ("series", np.int32), ("offset", np.int32)], align=True
)
"""A pane of one value."""

_Rows = np.ndarray


@njit(cache=True, nogil=True, error_model="numpy")
def pack_panes(
    panes: F64,
    packed: I32,
    numbers: I64,
    used: int,
    vehicle_of: I32,
    newest_time: I64,
    slide: int,
    singles: _Rows,
    full_series: I32,
    full: F64,
) -> tuple[int, int]:
    """Write the panes of series `[0, used)` that a window can still see; returns how many of each kind there are.

    Where `singles` or `full` have too little room the rest is only counted: call again with more.
    `packed` and `numbers` are `panes` as int32 and int64. O(panes), one pass over memory.
    """
    n, m = 0, 0
    ring = len(panes)
    for slot in range(ring):
        for s in range(used):
            count = packed[slot, s, COUNT]
            if count == 0:
                continue
            newest = newest_time[vehicle_of[s]]
            if newest == NEVER or numbers[slot, s, NUMBER] <= newest // slide - ring:
                continue
            if count == 1:
                if n < len(singles):
                    singles[n].number = numbers[slot, s, NUMBER]
                    singles[n].value = panes[slot, s, LAST]
                    singles[n].series = s
                    singles[n].offset = packed[slot, s, OFFSET]
                n += 1
            else:
                if m < len(full):
                    full_series[m] = s
                    full[m] = panes[slot, s]
                m += 1
    return n, m


@njit(cache=True, nogil=True)
def unpack_panes(
    singles: _Rows, full_series: I32, full: F64, panes: F64, packed: I32, numbers: I64, full_numbers: I64
) -> None:
    """Write packed panes back into empty ones. `full_numbers` is `full` as int64."""
    ring = len(panes)
    for i in range(len(singles)):
        s, slot = singles[i].series, singles[i].number % ring
        numbers[slot, s, NUMBER] = singles[i].number
        packed[slot, s, COUNT] = 1
        packed[slot, s, OFFSET] = singles[i].offset
        panes[slot, s, MEAN] = singles[i].value
        panes[slot, s, SQUARES] = 0.0
        panes[slot, s, MINIMUM] = singles[i].value
        panes[slot, s, MAXIMUM] = singles[i].value
        panes[slot, s, LAST] = singles[i].value
    for i in range(len(full)):
        panes[full_numbers[i, NUMBER] % ring, full_series[i]] = full[i]
