"""Copies of a frame within one batch, none of which was marked yet.

A vehicle's identities have an order: (session, sequence) where counted, (timestamp, channel, arbitration id)
otherwise. A row above all earlier rows of its vehicle cannot repeat any of them; every other row is a straggler, and
the second copy of anything is one. So only the stragglers' identities enter a hash table, which all rows then probe
in order: the first to find its identity there is the original, the later ones are copies. Traffic in order costs one
comparison a row and no table.

O(n) expected, for any order.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.arrays import grown
from pipeline.dedup.content_hash import mix
from pipeline.types import I32, I64, U8, U32, U64, Bools
from pipeline.verdicts import DUPLICATE

_DUPLICATE = np.uint8(DUPLICATE)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_ONE, _SHIFT_32, _UPPER_32 = np.uint64(1), np.uint64(32), np.uint64(0xFFFFFFFF00000000)
_SEEN = np.uint64(1 << 31)
_ROW = np.uint64((1 << 31) - 1)


class BatchRepeats:
    """Scratch space to find repeats; it carries nothing from one batch to the next."""

    def __init__(self) -> None:
        self._batch = 0
        self._last_counted: U64 = np.zeros((0, 3), np.uint64)
        self._last_content: I64 = np.zeros((0, 3), np.int64)
        self._stragglers: I32 = np.zeros(0, np.int32)
        self._table: U64 = np.zeros(0, np.uint64)

    def find(
        self,
        vehicle: I32,
        counted: Bools,
        session: U32,
        sequence: U64,
        timestamp: I64,
        channel: U8,
        arbitration_id: U32,
        hashes: I64,
        verdicts: U8,
        vehicles: int,
    ) -> None:
        """Write DUPLICATE into `verdicts`, uint8[n], for every row whose identity stands in an earlier row.

        Args:
            vehicle: int32[n], each below `vehicles`.
            counted: bool[n].
            session: uint32[n], read where counted.
            sequence: uint64[n], read where counted.
            timestamp: int64[n], microseconds.
            channel: uint8[n].
            arbitration_id: uint32[n].
            hashes: int64[n], content hashes; read where not counted.
            verdicts: uint8[n].
            vehicles: length of the scratch by vehicle.
        """
        self._batch += 1
        self._last_counted = grown(self._last_counted, vehicles)
        self._last_content = grown(self._last_content, vehicles)
        self._stragglers = grown(self._stragglers, len(vehicle))
        count = _find_stragglers(
            vehicle,
            counted,
            session,
            sequence,
            timestamp,
            channel,
            arbitration_id,
            self._batch,
            self._last_counted,
            self._last_content,
            self._stragglers,
        )
        if not count:
            return
        size = _table_size(count)
        self._table = grown(self._table, size)
        table = self._table[:size]
        table[:] = 0
        _enter(vehicle, counted, session, sequence, timestamp, hashes, self._stragglers[:count], table)
        _probe(vehicle, counted, session, sequence, timestamp, hashes, table, verdicts)


def _table_size(stragglers: int) -> int:
    """A power of two, at least twice the stragglers; emptier while it stays in the cache, since most rows then find
    an empty place at once, which the processor predicts."""
    least = 1 << (2 * stragglers).bit_length()
    return max(least, min(16 * least, 1 << 15))


@njit(cache=True, nogil=True)
def _find_stragglers(
    vehicle: I32,
    counted: Bools,
    session: U32,
    sequence: U64,
    timestamp: I64,
    channel: U8,
    arbitration_id: U32,
    batch: int,
    last_counted: U64,
    last_content: I64,
    stragglers: I32,
) -> int:
    """Collect the rows not above all earlier ones of their vehicle; returns how many. `last_*` rows start with the
    number of the batch that wrote them."""
    count = 0
    stamp = np.uint64(batch)
    for i in range(len(vehicle)):
        v = vehicle[i]
        if counted[i]:
            a, b = np.uint64(session[i]), sequence[i]
            last = last_counted[v]
            if last[0] != stamp or a > last[1] or (a == last[1] and b > last[2]):
                last[0], last[1], last[2] = stamp, a, b
                continue
        else:
            when, subject = timestamp[i], np.int64(channel[i]) << 32 | np.int64(arbitration_id[i])
            seen = last_content[v]
            if seen[0] != batch or when > seen[1] or (when == seen[1] and subject > seen[2]):
                seen[0], seen[1], seen[2] = batch, when, subject
                continue
        stragglers[count] = i
        count += 1
    return count


@njit(cache=True, nogil=True)
def _same(
    i: int, j: int, vehicle: I32, counted: Bools, session: U32, sequence: U64, timestamp: I64, hashes: I64
) -> bool:
    if vehicle[i] != vehicle[j] or counted[i] != counted[j]:
        return False
    if counted[i]:
        return sequence[i] == sequence[j] and session[i] == session[j]
    return timestamp[i] == timestamp[j] and hashes[i] == hashes[j]


@njit(cache=True, nogil=True)
def _code(vehicle: int, a: np.uint64, b: np.uint64) -> np.uint64:
    """Hash of an identity. In the table its lower half is the place, its upper half the entry's tag; an entry also
    holds the seen bit and one row of that identity, plus one."""
    return mix(a * _SPREAD + b ^ np.uint64(vehicle) << _SHIFT_32)


@njit(cache=True, nogil=True)
def _enter(
    vehicle: I32,
    counted: Bools,
    session: U32,
    sequence: U64,
    timestamp: I64,
    hashes: I64,
    stragglers: I32,
    table: U64,
) -> None:
    """Enter the identity of every straggler into an empty table at most half as long."""
    mask = np.uint64(len(table) - 1)
    for k in range(len(stragglers)):
        i = stragglers[k]
        a, b = (np.uint64(session[i]), sequence[i]) if counted[i] else (np.uint64(timestamp[i]), np.uint64(hashes[i]))
        code = _code(vehicle[i], a, b)
        slot = code & mask
        while table[slot] != 0 and not (
            table[slot] >> _SHIFT_32 == code >> _SHIFT_32
            and _same(i, np.int64(table[slot] & _ROW) - 1, vehicle, counted, session, sequence, timestamp, hashes)
        ):
            slot = (slot + _ONE) & mask
        if table[slot] == 0:
            table[slot] = (code & _UPPER_32) | np.uint64(i + 1)


@njit(cache=True, nogil=True)
def _probe(
    vehicle: I32,
    counted: Bools,
    session: U32,
    sequence: U64,
    timestamp: I64,
    hashes: I64,
    table: U64,
    verdicts: U8,
) -> None:
    """Look every row up, in order: the first to find its identity is the original, the later ones are copies."""
    mask = np.uint64(len(table) - 1)
    for i in range(len(vehicle)):
        a, b = (np.uint64(session[i]), sequence[i]) if counted[i] else (np.uint64(timestamp[i]), np.uint64(hashes[i]))
        code = _code(vehicle[i], a, b)
        slot = code & mask
        while table[slot] != 0:
            if table[slot] >> _SHIFT_32 == code >> _SHIFT_32 and _same(
                i, np.int64(table[slot] & _ROW) - 1, vehicle, counted, session, sequence, timestamp, hashes
            ):
                if table[slot] & _SEEN:
                    verdicts[i] = _DUPLICATE
                table[slot] |= _SEEN
                break
            slot = (slot + _ONE) & mask
