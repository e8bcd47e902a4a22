"""Panes: the aggregates of one slide of one series, and the ring they live in.

Source: panes after Li et al., "No pane, no gain" (SIGMOD Record 34, 2005); mean and squared deviations after Welford
(Technometrics 4, 1962), merged after Chan, Golub and LeVeque (1979).

Pane p of a series covers [p · slide, (p + 1) · slide) and lives in ring slot p mod panes, under its number: what an
older pane left there is overwritten when the next value comes, not cleared in advance, so that a value touches one
pane. The array is laid out [slot, series, field], not by series: the values of a frame fall into one pane of
consecutive series, which so lie side by side.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.prefetch import prefetch
from pipeline.types import F64, I32, I64

FIELDS: Final = 7
MEAN: Final = 0
SQUARES: Final = 1
"""Sum of squared deviations from the mean."""
MINIMUM: Final = 2
MAXIMUM: Final = 3
LAST: Final = 4
NUMBER: Final = 6
"""In the int64 view of a pane: its number, which is time divided by the slide; valid where COUNT is not 0."""
COUNT: Final = 10
"""In the int32 view: the sixth field holds two integers."""
OFFSET: Final = 11
"""In the int32 view: microseconds from the pane's start to its last value."""

NEVER: Final = np.iinfo(np.int64).min
LARGEST: Final = 1e150
"""Values beyond ± this, whose squares would overflow, are kept apart like NaN and infinity."""
_AHEAD: Final = 24
"""Values between asking the cache for a pane and reading it."""


@njit(cache=True, nogil=True, error_model="numpy")
def floor_divide(a: int, b: int, reciprocal: float) -> int:
    """a // b for b > 0 by multiplication: the quotient in floating point is off by one at most where |a| < 2**53."""
    quotient = int(a * reciprocal)
    rest = a - quotient * b
    if rest < 0 or rest >= b:
        quotient = a // b
    return quotient


@njit(cache=True, nogil=True, error_model="numpy")
def update_panes(
    vehicle: I32,
    timestamp: I64,
    row: I32,
    series: I32,
    value: F64,
    slide: int,
    panes_per_window: int,
    lateness: int,
    newest_time: I64,
    vehicle_of: I32,
    panes: F64,
    packed: I32,
    numbers: I64,
    pane_of: I64,
    slot_of: I32,
) -> tuple[int, int]:
    """Add the values of frames in order; returns how many were too late and how many not finite.

    `packed` and `numbers` are `panes` as int32 and as int64; `pane_of` and `slot_of` are scratch, one per frame.
    """
    too_late, not_finite = 0, 0
    m, ring = len(row), len(panes)
    by_slide, by_ring = 1.0 / slide, 1.0 / ring
    for i in range(len(vehicle)):
        pane_of[i] = floor_divide(timestamp[i], slide, by_slide)
        slot_of[i] = pane_of[i] - floor_divide(pane_of[i], ring, by_ring) * ring
    j = 0
    while j < m:
        i = row[j]
        v, when, pane, slot = vehicle[i], timestamp[i], pane_of[i], slot_of[i]
        newest = max(newest_time[v], when)
        newest_time[v] = newest
        late = (pane + panes_per_window) * slide <= newest - lateness
        offset = np.int32(when - pane * slide)
        while j < m and row[j] == i:
            if j + _AHEAD < m:
                prefetch(panes, (slot_of[row[j + _AHEAD]], series[j + _AHEAD]))
            # In this function whole: arrays handed to another that numba does not inline early have their references
            # counted at every call, which takes longer than the value itself.
            s, x = series[j], value[j]
            j += 1
            # Also false for NaN.
            if not (abs(x) <= LARGEST):
                not_finite += 1
                continue
            if late:
                too_late += 1
                continue
            count = packed[slot, s, COUNT] + 1
            if count == 1 or numbers[slot, s, NUMBER] != pane:
                if count == 1:
                    vehicle_of[s] = v
                numbers[slot, s, NUMBER] = pane
                packed[slot, s, COUNT] = 1
                packed[slot, s, OFFSET] = offset
                panes[slot, s, MEAN] = x
                panes[slot, s, SQUARES] = 0.0
                panes[slot, s, MINIMUM] = x
                panes[slot, s, MAXIMUM] = x
                panes[slot, s, LAST] = x
                continue
            packed[slot, s, COUNT] = count
            mean = panes[slot, s, MEAN]
            moved = mean + (x - mean) / count
            panes[slot, s, MEAN] = moved
            panes[slot, s, SQUARES] += (x - mean) * (x - moved)
            panes[slot, s, MINIMUM] = min(panes[slot, s, MINIMUM], x)
            panes[slot, s, MAXIMUM] = max(panes[slot, s, MAXIMUM], x)
            if offset >= packed[slot, s, OFFSET]:
                panes[slot, s, LAST] = x
                packed[slot, s, OFFSET] = offset
    return too_late, not_finite


@njit(cache=True, nogil=True, error_model="numpy")
def newest_panes(series: I32, packed: I32, numbers: I64, newest: I64) -> None:
    """Number of the newest pane of each series into `newest`; those of series without values stay."""
    for k in range(len(series)):
        s = series[k]
        if s < packed.shape[1]:
            for slot in range(len(packed)):
                if packed[slot, s, COUNT] != 0:
                    newest[k] = max(newest[k], numbers[slot, s, NUMBER])


@njit(cache=True, nogil=True, error_model="numpy")
def aggregate_panes(
    series: I32,
    end: I64,
    slide: int,
    panes_per_window: int,
    newest_pane: I64,
    panes: F64,
    packed: I32,
    numbers: I64,
    count: I64,
    mean: F64,
    deviation: F64,
    minimum: F64,
    maximum: F64,
    last: F64,
    last_timestamp: I64,
) -> None:
    """Merge the panes of the windows [end - length, end), oldest first; outputs of windows without values stay.

    `newest_pane` is what `newest_panes` gave.
    """
    ring = len(panes)
    for k in range(len(series)):
        s = series[k]
        newest = newest_pane[k]
        if newest == NEVER or end[k] == NEVER:
            continue
        stop = end[k] // slide
        start = stop - panes_per_window
        # A window that has partly left the ring gives nothing rather than half an answer.
        if start <= newest - ring:
            continue
        n, average, squares = 0, 0.0, 0.0
        for pane in range(start, min(stop, newest + 1)):
            slot = pane % ring
            more = packed[slot, s, COUNT]
            if more == 0 or numbers[slot, s, NUMBER] != pane:
                continue
            delta = panes[slot, s, MEAN] - average
            squares += panes[slot, s, SQUARES] + delta * delta * (n / (n + more)) * more
            average += delta * (more / (n + more))
            minimum[k] = panes[slot, s, MINIMUM] if n == 0 else min(minimum[k], panes[slot, s, MINIMUM])
            maximum[k] = panes[slot, s, MAXIMUM] if n == 0 else max(maximum[k], panes[slot, s, MAXIMUM])
            last[k] = panes[slot, s, LAST]
            last_timestamp[k] = pane * slide + packed[slot, s, OFFSET]
            n += more
        if n:
            count[k] = n
            mean[k] = average
            deviation[k] = np.sqrt(squares / n)
