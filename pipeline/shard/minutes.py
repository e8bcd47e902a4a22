"""Minutes: what the values of a few seconds add to the one-minute rollup, so that ClickHouse is told of them once.

Each insert of a large fleet holds about one value per series, and a rollup that followed every insert would write as
many rows as the table itself, twice. Gathered over several inserts, a series needs one row a minute and flush.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.arrays import read_only
from pipeline.types import F64, I32, I64

MINUTE: Final = 0
COUNT: Final = 1
MIN: Final = 2
MAX: Final = 3
SUM: Final = 4
LAST_TIMESTAMP: Final = 5
LAST: Final = 6
KEY: Final = 7
"""Columns of a row; MIN, MAX, SUM and LAST hold the bits of a float64."""

MINUTE_US: Final = 60_000_000
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST_ROWS: Final = 1024


class Minutes:
    """Running aggregates of (vehicle, signal, minute): count, min, max, sum, last by event time.

    Finite values only, like the rollup itself. A series has one open minute; a value of another minute closes it and
    opens that one, so data out of order costs rows, never correctness: ClickHouse merges rows of the same minute.
    64 bytes a series and 4 to 8 for its place in the hash table. One thread at a time.
    """

    def __init__(self) -> None:
        self._rows: I64 = np.zeros((_FIRST_ROWS, 8), np.int64)
        self._table: I32 = np.full(4 * _FIRST_ROWS, -1, np.int32)
        self._closed: I64 = np.zeros((_FIRST_ROWS, 8), np.int64)
        self._used = np.zeros(2, np.int64)
        self.values = 0
        """Values taken in since the last flush."""

    def add(self, vehicle: I32, signal: I32, timestamp: I64, value: F64) -> None:
        """Take in values in the order of the journal. O(m), amortised.

        Args:
            vehicle: int32[m].
            signal: int32[m].
            timestamp: int64[m], microseconds, not negative.
            value: float64[m].
        """
        columns = [read_only(column) for column in (vehicle, signal, timestamp, value)]
        done = 0
        while True:
            done = _add(done, *columns, self._rows, self._rows.view(np.float64), self._table, self._closed, self._used)
            if done == len(vehicle):
                break
            self._make_room()
        self.values += len(vehicle)

    def flush(self) -> I64:
        """int64[n, 8], a row for each series and minute since the last flush; starts anew."""
        used, closed = self._used
        rows = self._rows[:used]
        result = np.concatenate([self._closed[:closed], rows[rows[:, COUNT] > 0]])
        rows[:, COUNT] = 0
        self._used[1] = 0
        self.values = 0
        return result

    def _make_room(self) -> None:
        if self._used[0] == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._table = np.full(4 * len(self._rows), -1, np.int32)
            _rehash(self._rows, int(self._used[0]), self._table)
        if self._used[1] == len(self._closed):
            self._closed = np.concatenate([self._closed, np.zeros_like(self._closed)])


@njit(cache=True, nogil=True)
def _place(table: I32, rows: I64, key: int) -> int:
    """Index into `table` of the key, or of the empty place where it belongs."""
    mask = len(table) - 1
    at = np.int64((np.uint64(key) * _SPREAD) >> np.uint64(32)) & mask
    while table[at] >= 0 and rows[table[at], KEY] != key:
        at = (at + 1) & mask
    return int(at)


@njit(cache=True, nogil=True)
def _rehash(rows: I64, used: int, table: I32) -> None:
    for slot in range(used):
        table[_place(table, rows, rows[slot, KEY])] = slot


@njit(cache=True, nogil=True)
def _add(
    start: int,
    vehicle: I32,
    signal: I32,
    timestamp: I64,
    value: F64,
    rows: I64,
    as_float: F64,
    table: I32,
    closed: I64,
    used: I64,
) -> int:
    """Take in values from `start` on; returns how far it came before `rows` or `closed` was full."""
    bits = value.view(np.int64)
    for i in range(start, len(value)):
        if not np.isfinite(value[i]):
            continue
        key = (np.int64(vehicle[i]) << 32) | np.int64(signal[i])
        minute = timestamp[i] // MINUTE_US
        at = _place(table, rows, key)
        slot = table[at]
        if slot < 0:
            if used[0] == len(rows):
                return i
            slot = used[0]
            used[0] += 1
            table[at] = slot
            rows[slot, KEY] = key
            rows[slot, COUNT] = 0
        if rows[slot, COUNT] > 0 and rows[slot, MINUTE] != minute:
            if used[1] == len(closed):
                return i
            closed[used[1]] = rows[slot]
            used[1] += 1
            rows[slot, COUNT] = 0
        if rows[slot, COUNT] == 0:
            rows[slot, MINUTE] = minute
            rows[slot, COUNT] = 1
            as_float[slot, MIN] = as_float[slot, MAX] = as_float[slot, SUM] = value[i]
            rows[slot, LAST_TIMESTAMP] = timestamp[i]
            rows[slot, LAST] = bits[i]
            continue
        rows[slot, COUNT] += 1
        as_float[slot, MIN] = min(as_float[slot, MIN], value[i])
        as_float[slot, MAX] = max(as_float[slot, MAX], value[i])
        as_float[slot, SUM] += value[i]
        newer = timestamp[i] > rows[slot, LAST_TIMESTAMP]
        # Of equal times the larger bits, as ClickHouse decides when it merges rows.
        tie = timestamp[i] == rows[slot, LAST_TIMESTAMP] and np.uint64(bits[i]) > np.uint64(rows[slot, LAST])
        if newer or tie:
            rows[slot, LAST_TIMESTAMP] = timestamp[i]
            rows[slot, LAST] = bits[i]
    return len(value)
