"""The series of a shard: (vehicle, signal) to a dense index.

A vehicle sends a few dozen of the thousand messages that a database may define, so series are given out in blocks:
one block per (vehicle, message) that was ever decoded, with room for each of the message's signals. The blocks are
found through one open-addressing table, so memory follows what vehicles send, not vehicles × messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit

from pipeline.arrays import grown, length_for, read_only
from pipeline.prefetch import prefetch
from pipeline.types import I32, I64

_AHEAD: Final = 12
"""Frames between asking the cache for a place in the table and reading it."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class SeriesIndex:
    """Numbers series 0, 1, 2 … in order of first sight; a number is never given twice.

    Args:
        message_first_signal: int32[messages], global index of each message's first signal.
        message_signal_count: int32[messages]; a message's signals are consecutive.
    """

    def __init__(self, message_first_signal: I32, message_signal_count: I32) -> None:
        self._first_signal = read_only(np.asarray(message_first_signal, np.int32))
        self._signal_count = read_only(np.asarray(message_signal_count, np.int32))
        self._widest = int(self._signal_count.max()) if len(self._signal_count) else 0
        self._table: I64 = np.zeros((1024, 2), np.int64)
        self._used: I64 = np.zeros(2, np.int64)
        self._series_vehicle: I32 = np.zeros(1024, np.int32)
        self._series_signal: I32 = np.zeros(1024, np.int32)
        self._block: I32 = np.zeros((1024, 4), np.int32)
        self._last_block: I32 = np.zeros(64, np.int32)
        self._resolved: I32 = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return int(self._used[1])

    @property
    def series_vehicle(self) -> I32:
        """int32[series], the vehicle of each series; a view."""
        return self._series_vehicle[: len(self)]

    @property
    def series_signal(self) -> I32:
        """int32[series], the global signal index of each series; a view."""
        return self._series_signal[: len(self)]

    def resolve(self, vehicle: I32, decoded_message: I32, row: I32, signal: I32) -> I32:
        """Series of every decoded value; unknown ones are registered.

        Args:
            vehicle: int32[n], dense vehicle index per frame.
            decoded_message: int32[n], message index per frame; read only for frames that have values.
            row: int32[m], ascending, the frame of each value.
            signal: int32[m], the global signal index of each value.

        Returns:
            int32[m], in a buffer that the next call reuses. O(m), one table lookup per frame.
        """
        m = len(row)
        self._resolved = grown(self._resolved, m)
        self._last_block = grown(self._last_block, length_for(vehicle))
        done = 0
        while True:
            done = _resolve(
                read_only(vehicle),
                read_only(decoded_message),
                read_only(row),
                read_only(signal),
                self._first_signal,
                self._signal_count,
                self._table,
                self._used,
                self._series_vehicle,
                self._series_signal,
                self._block,
                self._last_block,
                self._resolved,
                done,
            )
            if done == m:
                return self._resolved[:m]
            self._grow()

    def of_vehicle(self, vehicle: int) -> I32:
        """int32[k], all series of one vehicle, ascending; empty where it has none. O(k log k)."""
        parts = []
        block = int(self._last_block[vehicle]) if vehicle < len(self._last_block) else 0
        while block:
            first, count, _, block = self._block[block - 1].tolist()
            parts.append(np.arange(first, first + count, dtype=np.int32))
        return np.concatenate(parts[::-1]) if parts else np.zeros(0, np.int32)

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all state: the blocks in the order they were given out."""
        blocks = self._block[: self._used[0]]
        return {
            "block_vehicle": self._series_vehicle[blocks[:, 0]],
            "block_message": blocks[:, 2].copy(),
        }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `snapshot` gave, in place of everything known so far.

        The catalogue must be the one the snapshot was taken with: series are numbered by its signal counts.
        """
        self._used[:] = 0
        self._table[:] = 0
        self._last_block[:] = 0
        vehicle, message = arrays["block_vehicle"], arrays["block_message"]
        rows = np.arange(len(vehicle), dtype=np.int32)
        self.resolve(vehicle, message, rows, self._first_signal[message])

    @staticmethod
    def warm() -> None:
        """Compile every kernel, or load it from its cache: seconds that the first frames need not wait."""
        scratch, one = SeriesIndex(np.zeros(1, np.int32), np.ones(1, np.int32)), np.zeros(1, np.int32)
        scratch.resolve(one, one, one, one)
        _rehash(scratch._block, 1, scratch._series_vehicle, scratch._table)

    def _grow(self) -> None:
        blocks, series = int(self._used[0]), int(self._used[1])
        self._series_vehicle = grown(self._series_vehicle, series + self._widest)
        self._series_signal = grown(self._series_signal, series + self._widest)
        self._block = grown(self._block, blocks + 1)
        if 2 * (blocks + 1) > len(self._table):
            self._table = np.zeros((2 * len(self._table), 2), np.int64)
            _rehash(self._block, blocks, self._series_vehicle, self._table)


@njit(cache=True, nogil=True)
def _home(table: I64, vehicle: int, message: int) -> np.int64:
    """Slot where the search for (vehicle, message) begins."""
    mixed = np.uint64(_key(vehicle, message)) * _SPREAD
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(len(table) - 1))


@njit(cache=True, nogil=True)
def _key(vehicle: int, message: int) -> np.int64:
    """Keys are stored plus one: 0 is empty."""
    return (np.int64(vehicle) << 32 | np.int64(message)) + 1


@njit(cache=True, nogil=True)
def _find(table: I64, vehicle: int, message: int) -> np.int64:
    """Slot of (vehicle, message), or of the empty place where it belongs."""
    key = _key(vehicle, message)
    slot = _home(table, vehicle, message)
    while table[slot, 0] != 0 and table[slot, 0] != key:
        slot = (slot + 1) & (len(table) - 1)
    return slot


@njit(cache=True, nogil=True)
def _resolve(
    vehicle: I32,
    decoded_message: I32,
    row: I32,
    signal: I32,
    first_signal: I32,
    signal_count: I32,
    table: I64,
    used: I64,
    series_vehicle: I32,
    series_signal: I32,
    block: I32,
    last_block: I32,
    resolved: I32,
    start: int,
) -> int:
    """Resolve values from `start` on; stops early, at the value returned, where an array must grow first.

    `block` rows are (first series, signal count, message, previous block of the vehicle + 1), `used` is (blocks,
    series).
    """
    j, m, n = start, len(row), len(vehicle)
    while j < m:
        r = row[j]
        if r + _AHEAD < n:
            prefetch(table, _home(table, vehicle[r + _AHEAD], decoded_message[r + _AHEAD]))
        v, message = vehicle[r], decoded_message[r]
        slot = _find(table, v, message)
        if table[slot, 0] == 0:
            count, first = signal_count[message], used[1]
            n_blocks = used[0]
            if first + count > len(series_vehicle) or n_blocks == len(block) or 2 * (n_blocks + 1) > len(table):
                return j
            table[slot, 0] = _key(v, message)
            table[slot, 1] = first
            for k in range(count):
                series_vehicle[first + k] = v
                series_signal[first + k] = first_signal[message] + k
            block[n_blocks, 0] = first
            block[n_blocks, 1] = count
            block[n_blocks, 2] = message
            block[n_blocks, 3] = last_block[v]
            last_block[v] = n_blocks + 1
            used[0] += 1
            used[1] += count
        base = np.int32(table[slot, 1] - first_signal[message])
        while j < m and row[j] == r:
            resolved[j] = base + signal[j]
            j += 1
    return m


@njit(cache=True, nogil=True)
def _rehash(block: I32, blocks: int, series_vehicle: I32, table: I64) -> None:
    for b in range(blocks):
        v, message = series_vehicle[block[b, 0]], block[b, 2]
        slot = _find(table, v, message)
        table[slot, 0] = _key(v, message)
        table[slot, 1] = block[b, 0]
