"""Panes: the aggregates of one slide of one series, and the ring they live in.

Source: panes after Li et al., "No pane, no gain" (SIGMOD Record 34, 2005); mean and squared deviations after Welford
(Technometrics 4, 1962), merged after Chan, Golub and LeVeque (1979).

Pane p of a series covers [p · slide, (p + 1) · slide) and lives in ring slot p mod panes. The array is laid out
[slot, series, field], not by series: the values of a batch fall into one or two panes of many series, which so lie
side by side.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.types import F64, I32, I64

FIELDS: Final = 6
MEAN: Final = 0
SQUARES: Final = 1
"""Sum of squared deviations from the mean."""
MINIMUM: Final = 2
MAXIMUM: Final = 3
LAST: Final = 4
COUNT: Final = 10
"""In the int32 view of a pane: its sixth field holds two integers."""
OFFSET: Final = 11
"""In the int32 view: microseconds from the pane's start to its last value."""

NEVER: Final = np.iinfo(np.int64).min
LARGEST: Final = 1e150
"""Values beyond ± this, whose squares would overflow, are kept apart like NaN and infinity."""


@njit(cache=True, nogil=True)
def floor_divide(a: int, b: int, reciprocal: float) -> int:
    """a // b for b > 0 by multiplication: the quotient in floating point is off by one at most where |a| < 2**53."""
    quotient = int(a * reciprocal)
    rest = a - quotient * b
    if rest < 0 or rest >= b:
        quotient = a // b
    return quotient


@njit(cache=True, nogil=True)
def update_panes(
    vehicle: I32,
    series: I32,
    timestamp: I64,
    value: F64,
    slide: int,
    panes_per_window: int,
    lateness: int,
    newest_time: I64,
    newest_pane: I64,
    vehicle_of: I32,
    panes: F64,
    packed: I32,
) -> tuple[int, int]:
    """Add values in order; returns how many were too late and how many not finite. `packed` is `panes` as int32."""
    too_late, not_finite = 0, 0
    ring = len(panes)
    by_slide, by_ring = 1.0 / slide, 1.0 / ring
    for j in range(len(series)):
        v, s, when, x = vehicle[j], series[j], timestamp[j], value[j]
        newest_time[v] = max(newest_time[v], when)
        # Also false for NaN.
        if not (abs(x) <= LARGEST):
            not_finite += 1
            continue
        pane = floor_divide(when, slide, by_slide)
        if (pane + panes_per_window) * slide <= newest_time[v] - lateness:
            too_late += 1
            continue
        slot = pane - floor_divide(pane, ring, by_ring) * ring
        if pane > newest_pane[s]:
            _advance(packed, s, newest_pane[s], pane, slot)
            newest_pane[s] = pane
            vehicle_of[s] = v
        offset = np.int32(when - pane * slide)
        count = packed[slot, s, COUNT] + 1
        packed[slot, s, COUNT] = count
        if count == 1:
            panes[slot, s, MEAN] = x
            panes[slot, s, SQUARES] = 0.0
            panes[slot, s, MINIMUM] = x
            panes[slot, s, MAXIMUM] = x
            panes[slot, s, LAST] = x
            packed[slot, s, OFFSET] = offset
            continue
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


@njit(cache=True, nogil=True)
def _advance(packed: I32, s: int, newest: int, pane: int, slot: int) -> None:
    """Empty the slots of panes newest + 1 to `pane`, which is in `slot`, going back."""
    ring = len(packed)
    # A series' first value finds its slots empty, and NEVER must not enter a subtraction.
    steps = 0 if newest == NEVER else min(pane - newest, ring)
    for _ in range(steps):
        packed[slot, s, COUNT] = 0
        slot = slot - 1 if slot > 0 else ring - 1


@njit(cache=True, nogil=True)
def aggregate_panes(
    series: I32,
    end: I64,
    slide: int,
    panes_per_window: int,
    newest_pane: I64,
    panes: F64,
    packed: I32,
    count: I64,
    mean: F64,
    deviation: F64,
    minimum: F64,
    maximum: F64,
    last: F64,
    last_timestamp: I64,
) -> None:
    """Merge the panes of the windows [end - length, end), oldest first; outputs of windows without values stay."""
    ring = len(panes)
    for k in range(len(series)):
        s = series[k]
        if s >= len(newest_pane) or newest_pane[s] == NEVER or end[k] == NEVER:
            continue
        stop = end[k] // slide
        start = stop - panes_per_window
        # A window that has partly left the ring gives nothing rather than half an answer.
        if start <= newest_pane[s] - ring:
            continue
        n, average, squares = 0, 0.0, 0.0
        for pane in range(start, min(stop, newest_pane[s] + 1)):
            slot = pane % ring
            more = packed[slot, s, COUNT]
            if more == 0:
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
