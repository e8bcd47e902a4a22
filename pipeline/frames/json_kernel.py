"""The fast path of JSON frames: a strict reader of the plain form that nearly every row has.

A row that is one flat object, with its strings free of escapes and its integers free of fractions and of modest
size, is read here in one pass over its bytes. Whatever else a row may be, valid or not, it is marked `ASIDE` and
read by a complete JSON parser. This reader accepts nothing that the complete one would read differently.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.frames.json_split import skip_space
from pipeline.frames.raw import (
    EXTENDED_ABSENT,
    HAS_ARBITRATION_ID,
    HAS_DATA,
    HAS_SEQUENCE,
    HAS_SESSION,
    HAS_TIMESTAMP,
)
from pipeline.frames.rfc3339 import parse_rfc3339
from pipeline.types import I32, I64, U8, U32, U64

READ: Final = 0
ASIDE: Final = 1

_NAMES: Final = (
    b"vehicle_id",
    b"timestamp",
    b"arbitration_id",
    b"data",
    b"is_extended",
    b"channel",
    b"session",
    b"sequence",
)
_VEHICLE_ID, _TIMESTAMP, _ARBITRATION_ID, _DATA, _IS_EXTENDED, _CHANNEL, _SESSION, _SEQUENCE, _OTHER = range(9)

_NAME_BYTES: Final = np.zeros((8, 16), np.uint8)
_NAME_LENGTH: Final = np.zeros(8, np.int64)
for _index, _name in enumerate(_NAMES):
    _NAME_BYTES[_index, : len(_name)] = np.frombuffer(_name, np.uint8)
    _NAME_LENGTH[_index] = len(_name)

_NIBBLE: Final = np.full(256, 255, np.uint8)
_NIBBLE[48:58] = np.arange(10)
_NIBBLE[65:71] = np.arange(10, 16)
_NIBBLE[97:103] = np.arange(10, 16)

_MOST_DIGITS: Final = 18
_MOST_PROBES: Final = 32


@njit(cache=True, nogil=True, fastmath=False)
def _string_end(body: U8, at: int, stop: int, utf8: bool) -> int:
    """Position of the closing quote of a string whose first character is at `at`; -1 if it is not plain."""
    while at < stop:
        byte = body[at]
        if byte == 34:
            return at
        if byte < 32 or byte == 92 or (byte >= 128 and not utf8):
            return -1
        at += 1
    return -1


@njit(cache=True, nogil=True, fastmath=False)
def _column(body: U8, start: int, stop: int) -> int:
    for column in range(8):
        if stop - start == _NAME_LENGTH[column]:
            equal = True
            for i in range(stop - start):
                if body[start + i] != _NAME_BYTES[column, i]:
                    equal = False
                    break
            if equal:
                return column
    return _OTHER


@njit(cache=True, nogil=True, fastmath=False)
def _digits_end(body: U8, at: int, stop: int) -> int:
    """End of an unsigned integer of at most 18 digits without a leading zero; -1 if it is not that."""
    end = at
    while end < stop and 48 <= body[end] <= 57:
        end += 1
    if end == at or end - at > _MOST_DIGITS or (body[at] == 48 and end - at > 1):
        return -1
    if end < stop and (body[end] == 46 or body[end] == 69 or body[end] == 101):
        return -1
    return end


@njit(cache=True, nogil=True, fastmath=False)
def _integer(body: U8, at: int, end: int) -> int:
    value = 0
    for i in range(at, end):
        value = value * 10 + (body[i] - 48)
    return value


@njit(cache=True, nogil=True, fastmath=False)
def _word_end(body: U8, at: int, stop: int) -> int:
    """End of `true`, `false` or `null` at `at`; -1 if none stands there."""
    if stop - at >= 4:
        if body[at] == 116 and body[at + 1] == 114 and body[at + 2] == 117 and body[at + 3] == 101:
            return at + 4
        if body[at] == 110 and body[at + 1] == 117 and body[at + 2] == 108 and body[at + 3] == 108:
            return at + 4
    if stop - at < 5 or body[at] != 102 or body[at + 1] != 97 or body[at + 2] != 108:
        return -1
    return at + 5 if body[at + 3] == 115 and body[at + 4] == 101 else -1


@njit(cache=True, nogil=True, fastmath=False)
def _same(body: U8, a: int, b: int, length: int) -> bool:
    i = 0
    while i < length and body[a + i] == body[b + i]:
        i += 1
    return i == length


@njit(cache=True, nogil=True, fastmath=False)
def read_rows(
    body: U8,
    starts: I64,
    ends: I64,
    utf8: bool,
    status: U8,
    vehicle: I32,
    id_start: I64,
    id_length: I32,
    table: I32,
    timestamp: I64,
    arbitration_id: U32,
    offsets: I32,
    payload: U8,
    extended: U8,
    channel: U8,
    session: U32,
    sequence: U64,
    present: U8,
) -> int:
    """Read n rows; returns the number of distinct vehicle ids. O(bytes).

    Args:
        body: uint8[...], all text.
        starts, ends: int64[n], row i is `body[starts[i]:ends[i]]`, without white space around it.
        utf8: whether the whole body is known to be UTF-8; if not, a row beyond ASCII is put aside.
        status: uint8[n] out, `READ` or `ASIDE`; a row aside has no vehicle and no data.
        vehicle: int32[n] out, index of the row's vehicle id, -1 where absent.
        id_start, id_length: [n] out, vehicle id k is `body[id_start[k]:][:id_length[k]]`.
        table: int32[a power of two >= 2 n] filled with -1, room for hashing.
        payload: uint8[len(body) // 2] out.
        timestamp ... present: as in `RawFrames`, out.
    """
    distinct = 0
    used = 0
    last = np.int32(-1)
    mask = len(table) - 1
    offsets[0] = 0
    for row in range(len(starts)):
        at, stop = starts[row], ends[row]
        vehicle[row] = -1
        timestamp[row] = 0
        arbitration_id[row] = 0
        extended[row] = EXTENDED_ABSENT
        channel[row] = 0
        session[row] = 0
        sequence[row] = 0
        has = 0
        written = used
        name_start = np.int64(-1)
        name_length = np.int64(0)
        aside = stop - at < 2 or body[at] != 123
        at = skip_space(body, at + 1, stop)
        if not aside and at < stop and body[at] == 125:
            aside = at + 1 != stop
        else:
            while not aside:
                # One member: a quoted name, a colon, a value, then a comma or the closing brace.
                aside = True
                if at >= stop or body[at] != 34:
                    break
                end = _string_end(body, at + 1, stop, utf8)
                if end < 0:
                    break
                column = _column(body, at + 1, end)
                at = skip_space(body, end + 1, stop)
                if at >= stop or body[at] != 58:
                    break
                at = skip_space(body, at + 1, stop)
                if at >= stop:
                    break
                byte = body[at]
                if byte == 34:
                    end = _string_end(body, at + 1, stop, utf8)
                    if end < 0:
                        break
                    if column == _VEHICLE_ID:
                        name_start, name_length = at + 1, end - at - 1
                    elif column == _TIMESTAMP:
                        good, value = parse_rfc3339(body, at + 1, end)
                        if not good:
                            break
                        timestamp[row] = value
                        has |= HAS_TIMESTAMP
                    elif column == _DATA:
                        if (end - at - 1) % 2:
                            break
                        written = used
                        good = True
                        for i in range(at + 1, end, 2):
                            high, low = _NIBBLE[body[i]], _NIBBLE[body[i + 1]]
                            good &= high < 16 and low < 16
                            payload[written] = (high << 4) | (low & 15)
                            written += 1
                        if not good:
                            break
                        has |= HAS_DATA
                    elif column != _OTHER:
                        break
                    at = end + 1
                elif 48 <= byte <= 57:
                    end = _digits_end(body, at, stop)
                    if end < 0:
                        break
                    number = _integer(body, at, end)
                    if column == _TIMESTAMP:
                        timestamp[row] = number
                        has |= HAS_TIMESTAMP
                    elif column == _ARBITRATION_ID:
                        if number > 0xFFFFFFFF:
                            break
                        arbitration_id[row] = number
                        has |= HAS_ARBITRATION_ID
                    elif column == _CHANNEL:
                        if number > 0xFF:
                            break
                        channel[row] = number
                    elif column == _SESSION:
                        if number > 0xFFFFFFFF:
                            break
                        session[row] = number
                        has |= HAS_SESSION
                    elif column == _SEQUENCE:
                        sequence[row] = number
                        has |= HAS_SEQUENCE
                    elif column != _OTHER:
                        break
                    at = end
                else:
                    end = _word_end(body, at, stop)
                    if end < 0:
                        break
                    if byte == 110:
                        # A name given twice: its last value holds, here null. Rare enough for the complete parser.
                        if column != _OTHER and _given(column, has, name_start, extended[row], channel[row]):
                            break
                    elif column == _IS_EXTENDED:
                        extended[row] = byte == 116
                    elif column != _OTHER:
                        break
                    at = end
                at = skip_space(body, at, stop)
                if at >= stop:
                    break
                if body[at] == 125:
                    aside = at + 1 != stop
                    break
                if body[at] != 44:
                    break
                at = skip_space(body, at + 1, stop)
                aside = False

        if not aside and name_start >= 0:
            if last >= 0 and id_length[last] == name_length and _same(body, id_start[last], name_start, name_length):
                vehicle[row] = last
            else:
                # FNV-1a; the number of probes is bounded so that ids made to collide cost no more than others.
                code = np.uint64(14695981039346656037)
                for i in range(name_start, name_start + name_length):
                    code = (code ^ np.uint64(body[i])) * np.uint64(1099511628211)
                slot = np.int64((code ^ (code >> np.uint64(32))) & np.uint64(mask))
                probes = 0
                while probes < _MOST_PROBES:
                    known = table[slot]
                    if known < 0:
                        table[slot] = distinct
                        id_start[distinct], id_length[distinct] = name_start, name_length
                        vehicle[row] = distinct
                        distinct += 1
                        break
                    if id_length[known] == name_length and _same(body, id_start[known], name_start, name_length):
                        vehicle[row] = known
                        break
                    slot = (slot + 1) & mask
                    probes += 1
                aside = vehicle[row] < 0
                last = vehicle[row]
        if aside:
            status[row] = ASIDE
            vehicle[row] = -1
            present[row] = 0
        else:
            status[row] = READ
            present[row] = has
            used = written
        offsets[row + 1] = used
    return distinct


@njit(cache=True, nogil=True, fastmath=False)
def _given(column: int, has: int, name_start: int, extended: int, channel: int) -> bool:
    """Whether the row gave this column a value before."""
    if column == _VEHICLE_ID:
        return name_start >= 0
    if column == _TIMESTAMP:
        return has & HAS_TIMESTAMP != 0
    if column == _ARBITRATION_ID:
        return has & HAS_ARBITRATION_ID != 0
    if column == _DATA:
        return has & HAS_DATA != 0
    if column == _IS_EXTENDED:
        return extended != EXTENDED_ABSENT
    if column == _CHANNEL:
        return channel != 0
    if column == _SESSION:
        return has & HAS_SESSION != 0
    return has & HAS_SEQUENCE != 0


@njit(cache=True, nogil=True, fastmath=False)
def gather(body: U8, starts: I64, lengths: I32, offsets: I32, out: U8) -> None:
    """Copy `body[starts[k]:][:lengths[k]]` one after another into `out`; `offsets` int32[k + 1] is their layout."""
    at = 0
    offsets[0] = 0
    for k in range(len(starts)):
        for i in range(lengths[k]):
            out[at] = body[starts[k] + i]
            at += 1
        offsets[k + 1] = at
