"""Frames to values: the kernels that read bits out of payloads and scale them.

A signal is read from one 8-byte word around it: load, swap if big endian, shift, mask, extend the sign, convert,
multiply, add. LLVM turns the byte-wise loads into one (swapping) load. Multiplication and addition stay two
operations, each rounded, as Python does them: numba emits no contraction without fastmath.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.decode.exact import multiply_add
from pipeline.decode.tables import EXACT, FLOAT_32, FLOAT_64, LINEAR, UNSIGNED_64, Tables
from pipeline.types import F64, I32, U8

_UNKNOWN = -1


@njit(cache=True, nogil=True, fastmath=False)
def _word(payload: U8, at: int) -> np.uint64:
    """Bytes `at` to `at + 7`, little endian; zero beyond the payload's end."""
    if at + 8 <= payload.size:
        # unsigned indices: numba then emits no wrap-around for negative ones, and the eight loads become one
        a = np.uint64(at)
        return (
            np.uint64(payload[a])
            | np.uint64(payload[a + np.uint64(1)]) << np.uint64(8)
            | np.uint64(payload[a + np.uint64(2)]) << np.uint64(16)
            | np.uint64(payload[a + np.uint64(3)]) << np.uint64(24)
            | np.uint64(payload[a + np.uint64(4)]) << np.uint64(32)
            | np.uint64(payload[a + np.uint64(5)]) << np.uint64(40)
            | np.uint64(payload[a + np.uint64(6)]) << np.uint64(48)
            | np.uint64(payload[a + np.uint64(7)]) << np.uint64(56)
        )
    word = np.uint64(0)
    for k in range(payload.size - at):
        word |= np.uint64(payload[at + k]) << np.uint64(8 * k)
    return word


@njit(cache=True, nogil=True, fastmath=False)
def _swap(word: np.uint64) -> np.uint64:
    """Reverse the bytes; LLVM recognises it as one instruction."""
    mask = np.uint64(0x00FF00FF00FF00FF)
    word = ((word >> np.uint64(8)) & mask) | ((word & mask) << np.uint64(8))
    mask = np.uint64(0x0000FFFF0000FFFF)
    word = ((word >> np.uint64(16)) & mask) | ((word & mask) << np.uint64(16))
    return (word >> np.uint64(32)) | (word << np.uint64(32))


@njit(cache=True, nogil=True, fastmath=False)
def _raw(t: Tables, j: int, payload: U8, start: int) -> np.uint64:
    """The bits of signal `j`, in a frame whose data begins at `start` and holds the signal wholly."""
    at = start + t.base[j]
    word = _word(payload, at)
    shift = t.shift[j]
    if t.big_endian[j]:
        word = _swap(word)
    if t.nine_bytes[j]:
        ninth = np.uint64(payload[at + 8])
        if t.big_endian[j]:
            word = (word << shift) | (ninth >> (np.uint64(8) - shift))
        else:
            word = (word >> shift) | (ninth << (np.uint64(64) - shift))
    else:
        word = word >> shift
    return word & t.mask[j]


@njit(cache=True, nogil=True, fastmath=False)
def _half(bits: np.uint64) -> float:
    """float64 of an IEEE 754 binary16."""
    exponent = np.int64((bits >> np.uint64(10)) & np.uint64(0x1F))
    fraction = np.float64(bits & np.uint64(0x3FF))
    if exponent == 31:
        value = np.inf if fraction == 0.0 else np.nan
    elif exponent == 0:
        value = fraction * 2.0**-24
    else:
        value = (1024.0 + fraction) * np.float64(np.uint64(1) << np.uint64(exponent)) * 2.0**-25
    return -value if (bits >> np.uint64(15)) != np.uint64(0) else value


@njit(cache=True, nogil=True, fastmath=False)
def _scaled(t: Tables, j: int, raw: np.uint64) -> float:
    """The physical value of signal `j` with bits `raw`."""
    kind = t.kind[j]
    sign = t.sign[j]
    integer = np.int64((raw ^ sign) - sign)
    if kind == LINEAR:
        return np.float64(integer) * t.scale[j] + t.offset[j]
    if kind == UNSIGNED_64:
        return np.float64(raw) * t.scale[j] + t.offset[j]
    if kind == EXACT:
        negative = (raw & sign) != np.uint64(0)
        magnitude = np.uint64(0) - np.uint64(integer) if negative else raw
        whole = multiply_add(magnitude, negative, t.exact_scale[j], t.exact_offset_high[j], t.exact_offset_low[j])
        return whole + t.offset[j]
    if kind == FLOAT_32:
        value = np.float64(np.uint32(raw).view(np.float32))
    elif kind == FLOAT_64:
        value = np.uint64(raw).view(np.float64)
    else:
        value = _half(raw)
    # an unscaled float is given as it is: -0.0 + 0.0 would lose its sign
    return value * t.scale[j] + t.offset[j] if t.scaled[j] else value


@njit(cache=True, nogil=True, fastmath=False)
def _case(t: Tables, x: int, value: np.int64) -> int:
    """Node that `value` of multiplexer `x` adds, or _UNKNOWN. Binary search."""
    low, high = t.multiplexer_case_start[x], t.multiplexer_case_start[x + 1]
    end = high
    while low < high:
        middle = (low + high) >> 1
        if t.case_value[middle] < value:
            low = middle + 1
        else:
            high = middle
    return t.case_node[low] if low < end and t.case_value[low] == value else _UNKNOWN


@njit(cache=True, nogil=True, fastmath=False)
def _multiplexed_node(t: Tables, x: int, payload: U8, start: int) -> int:
    """Node that the frame's value of multiplexer `x` adds, or _UNKNOWN."""
    j = t.multiplexer_signal[x]
    raw = _raw(t, j, payload, start)
    if t.multiplexer_raw[x]:
        if t.kind[j] == UNSIGNED_64 and (raw >> np.uint64(63)) != np.uint64(0):
            return _UNKNOWN
        return _case(t, x, np.int64((raw ^ t.sign[j]) - t.sign[j]))
    value = _scaled(t, j, raw)
    if not -9.2e18 < value < 9.2e18:
        return _UNKNOWN
    return _case(t, x, np.int64(value))


@njit(cache=True, nogil=True, fastmath=False)
def _decode_walk(
    t: Tables,
    m: int,
    payload: U8,
    start: int,
    size: int,
    frame: int,
    row: I32,
    signal: I32,
    value: F64,
    written: int,
    stack: I32,
) -> tuple[int, int, bool]:
    """Decode one frame node by node. Returns values written so far, truncated signals, unknown multiplexer."""
    truncated = 0
    unknown = False
    stack[0] = t.message_root[m]
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        for k in range(t.node_signal_start[node], t.node_signal_start[node + 1]):
            j = t.node_signal[k]
            if t.bytes_needed[j] > size:
                truncated += 1
                continue
            row[written] = frame
            signal[written] = j
            value[written] = _scaled(t, j, _raw(t, j, payload, start))
            written += 1
        for x in range(t.node_multiplexer_start[node], t.node_multiplexer_start[node + 1]):
            if t.bytes_needed[t.multiplexer_signal[x]] > size:
                continue
            child = _multiplexed_node(t, x, payload, start)
            if child == _UNKNOWN:
                unknown = True
            else:
                stack[depth] = child
                depth += 1
    return written, truncated, unknown


@njit(cache=True, nogil=True, fastmath=False)
def decode_frames(
    t: Tables, message: I32, offsets: I32, payload: U8, row: I32, signal: I32, value: F64
) -> tuple[int, int, int]:
    """Decode all frames with `message[i] >= 0` into `row`, `signal`, `value`, in row order. O(values).

    Args:
        t: the compiled catalogue.
        message: int32[n] from `match_frames`.
        offsets: int32[n + 1], bounds of each frame's data in `payload`.
        payload: uint8[...].
        row, signal, value: int32, int32, float64 outputs, at least as long as the bound `match_frames` returned.

    Returns:
        Values written, signals not wholly present, frames with an unknown multiplexer value.
    """
    written = 0
    truncated = 0
    unknown = 0
    # a frame enters each multiplexer at most once
    stack = np.empty(t.multiplexer_signal.size + 1, np.int32)
    for i in range(message.size):
        m = message[i]
        if m < 0:
            continue
        start = np.int64(offsets[i])
        size = np.int64(offsets[i + 1]) - start
        if t.message_plain[m] and size >= t.message_bytes[m]:
            word = _word(payload, start)
            swapped = _swap(word)
            j = np.uint64(t.message_first[m])
            end = j + np.uint64(t.message_count[m])
            out = np.uint64(written)
            while j < end:
                raw = ((swapped if t.big_endian[j] else word) >> t.shift[j]) & t.mask[j]
                sign = t.sign[j]
                row[out] = i
                signal[out] = j
                value[out] = np.float64(np.int64((raw ^ sign) - sign)) * t.scale[j] + t.offset[j]
                j += np.uint64(1)  # unsigned: no index needs a check for wrap-around
                out += np.uint64(1)
            written += t.message_count[m]
        else:
            written, cut, strange = _decode_walk(t, m, payload, start, size, i, row, signal, value, written, stack)
            truncated += cut
            unknown += strange
    return written, truncated, unknown
