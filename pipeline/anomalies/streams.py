"""One row per arbitration id of a vehicle and channel, found by open addressing; bounded per vehicle.

The key packs vehicle, channel, width of the id and id into 64 bits, so that an id's row costs one probe on average.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.anomalies.baseline import ALPHA, tail
from pipeline.anomalies.state import OVERFLOWED, STREAMS_USED, Row

MAX_VEHICLES: Final = 1 << 26
_KNOWN_IDS: Final = 512
"""Rows of database ids per vehicle: J1939 alone could make 256 of every message."""
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, error_model="numpy")
def key_of(vehicle: int, channel: int, is_extended: bool, arbitration_id: int) -> np.uint64:
    """uint64 key: 26 bits of vehicle, 8 of channel, 1 of width, 29 of id."""
    return (
        (np.uint64(vehicle) << np.uint64(38))
        | (np.uint64(channel) << np.uint64(30))
        | (np.uint64(is_extended) << np.uint64(29))
        | np.uint64(arbitration_id)
    )


@njit(nogil=True, error_model="numpy")
def home(table: Row, key: np.uint64) -> np.int64:
    """Slot of `table` where the search for a key begins."""
    return np.int64(((np.uint64(key) * _ODD) >> np.uint64(32)) & np.uint64(len(table) - 1))


@njit(nogil=True, error_model="numpy")
def place(table: Row, streams: Row, key: np.uint64) -> np.int64:
    """Slot of `table` (int32[2^k], links to streams) that holds the key, or the free one where it belongs. O(1)."""
    mask = np.uint64(len(table) - 1)
    slot = np.uint64(home(table, key))
    while table[slot] != 0 and streams[table[slot] - 1].key != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@njit(cache=True, nogil=True, error_model="numpy")
def rebuild(table: Row, streams: Row, used: int) -> None:
    """Fill an empty table with `used` streams. O(used)."""
    for index in range(used):
        table[place(table, streams, streams[index].key)] = index + 1


@njit(nogil=True, error_model="numpy")
def add(
    table: Row,
    streams: Row,
    counters: Row,
    vehicle: Row,
    slot: int,
    key: np.uint64,
    message: int,
    unknown_ids: int,
    background: bool,
) -> int:
    """Row of a new key in its free slot; -1 past the vehicle's bound, where only a counter remembers the frame."""
    if (message < 0 and vehicle.unknown >= unknown_ids) or (message >= 0 and vehicle.known >= _KNOWN_IDS):
        counters[OVERFLOWED] += 1
        return -1
    index = counters[STREAMS_USED]
    counters[STREAMS_USED] += 1
    table[slot] = index + 1
    stream = streams[index]
    stream.key = key
    stream.message = message
    stream.background = background
    stream.next = vehicle.streams
    vehicle.streams = index + 1
    if message < 0:
        vehicle.unknown += 1
    else:
        vehicle.known += 1
    return index


@njit(nogil=True, error_model="numpy")
def learn_cycle(stream: Row, gap_s: float, fast: bool) -> None:
    """Teach the cycle one gap, in active time; a gap that is far too short teaches little, for it may be a flood."""
    if fast:
        stream.gap_s += 0.1 * ALPHA * (gap_s - stream.gap_s)
        return
    weight = max(ALPHA, 1.0 / stream.frames)
    if stream.gap_s > 0.0:
        stream.uneven += weight * (abs(gap_s - stream.gap_s) / stream.gap_s - stream.uneven)
    stream.gap_s += weight * (gap_s - stream.gap_s)
    stream.longest_s = tail(stream.longest_s, gap_s, stream.frames)
