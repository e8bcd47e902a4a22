"""Frames to values: the kernels that read bits out of payloads and scale them.

A signal is read from one 8-byte word around it: load, swap if big endian, shift, mask, extend the sign, convert,
multiply, add. LLVM turns the byte-wise loads into one (swapping) load. Multiplication and addition stay two
operations, each rounded, as Python does them: numba emits no contraction without fastmath.

Signals of common kinds in the first word are read by blocks of eight, the others one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from pipeline.decode.exact import multiply_add
from pipeline.decode.lanes import decode_block
from pipeline.decode.tables import EXACT, FLOAT_32, FLOAT_64, LANES, LINEAR, UNSIGNED_64, Tables
from pipeline.types import F64, I32, I64, U8

_UNKNOWN = -1


@njit(cache=True, nogil=True, fastmath=False, forceinline=True)
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


@njit(cache=True, nogil=True, fastmath=False, forceinline=True)
def _swap(word: np.uint64) -> np.uint64:
    """Reverse the bytes; LLVM recognises it as one instruction."""
    mask = np.uint64(0x00FF00FF00FF00FF)
    word = ((word >> np.uint64(8)) & mask) | ((word & mask) << np.uint64(8))
    mask = np.uint64(0x0000FFFF0000FFFF)
    word = ((word >> np.uint64(16)) & mask) | ((word & mask) << np.uint64(16))
    return (word >> np.uint64(32)) | (word << np.uint64(32))


@njit(cache=True, nogil=True, fastmath=False, forceinline=True)
def _raw(s: Any, payload: U8, start: int) -> np.uint64:  # noqa: ANN401 - SIGNAL record
    """The bits of signal `s`, in a frame whose data begins at `start` and holds the signal wholly."""
    at = start + s.base
    word = _word(payload, at)
    shift = s.shift
    if s.big_endian:
        word = _swap(word)
    if s.nine_bytes:
        ninth = np.uint64(payload[at + 8])
        if s.big_endian:
            word = (word << shift) | (ninth >> (np.uint64(8) - shift))
        else:
            word = (word >> shift) | (ninth << (np.uint64(64) - shift))
    else:
        word = word >> shift
    return word & s.mask


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


@njit(cache=True, nogil=True, fastmath=False, forceinline=True)
def _scaled(s: Any, raw: np.uint64) -> float:  # noqa: ANN401 - SIGNAL record
    """The physical value of signal `s` with bits `raw`."""
    kind = s.kind
    sign = s.sign
    integer = np.int64((raw ^ sign) - sign)
    if kind == LINEAR:
        return np.float64(integer) * s.scale + s.offset
    if kind == UNSIGNED_64:
        return np.float64(raw) * s.scale + s.offset
    if kind == EXACT:
        negative = (raw & sign) != np.uint64(0)
        magnitude = np.uint64(0) - np.uint64(integer) if negative else raw
        whole = multiply_add(magnitude, negative, s.exact_scale, s.exact_offset_high, s.exact_offset_low)
        return whole + s.offset
    if kind == FLOAT_32:
        value = np.float64(np.uint32(raw).view(np.float32))
    elif kind == FLOAT_64:
        value = np.uint64(raw).view(np.float64)
    else:
        value = _half(raw)
    # an unscaled float is given as it is: -0.0 + 0.0 would lose its sign
    return value * s.scale + s.offset if s.scaled else value


@njit(cache=True, nogil=True, fastmath=False, forceinline=True)
def _selected(x: Any, s: Any, payload: U8, start: int) -> tuple[bool, np.int64]:  # noqa: ANN401 - MULTIPLEXER, SIGNAL
    """The frame's value of multiplexer `x` with signal `s`, and before it whether it is one that int64 holds."""
    raw = _raw(s, payload, start)
    if x.raw:
        fits = s.kind != UNSIGNED_64 or (raw >> np.uint64(63)) == np.uint64(0)
        return fits, np.int64((raw ^ s.sign) - s.sign)
    value = _scaled(s, raw)
    fits = -9.2e18 < value < 9.2e18
    return fits, np.int64(value if fits else 0.0)


# inlined by numba: a call that LLVM inlines would still count both arrays in and out
@njit(cache=True, nogil=True, fastmath=False, inline="always")
def _case(case_value: I64, case_node: I32, x: Any, value: np.int64) -> int:  # noqa: ANN401 - MULTIPLEXER record
    """Node that `value` of multiplexer `x` adds, or _UNKNOWN. Binary search."""
    low, high = x.case_start, x.case_end
    while low < high:
        middle = (low + high) >> 1
        if case_value[middle] < value:
            low = middle + 1
        else:
            high = middle
    return case_node[low] if low < x.case_end and case_value[low] == value else _UNKNOWN


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
        row, signal, value: int32, int32, float64 outputs, at least LANES longer than the bound `match_frames`
            returned; what follows the values written is undefined.

    Returns:
        Values written, signals not wholly present, frames with an unknown multiplexer value.
    """
    written = 0
    truncated = 0
    unknown = 0
    # a frame enters each multiplexer at most once
    stack = np.empty(t.multiplexer.size + 1, np.int32)
    for i in range(message.size):
        m = message[i]
        if m < 0:
            continue
        start = np.int64(offsets[i])
        size = np.int64(offsets[i + 1]) - start
        word = _word(payload, start)
        both = word ^ _swap(word)
        strange = False
        stack[0] = t.message_root[np.uint64(m)]
        depth = 1
        while depth > 0:
            depth -= 1
            node = t.node[np.uint64(stack[depth])]
            if size >= node.block_bytes:
                count = node.signal_end - node.signal_start
                block = node.block_start
                for out in range(written, written + count, LANES):
                    decode_block(t.block[np.uint64(block)], word, both, np.int32(i), row, signal, value, np.uint64(out))
                    block += 1
                written += count
            else:
                for k in range(node.signal_start, node.signal_end):
                    j = t.node_signal[k]
                    s = t.signal[j]
                    if s.bytes_needed > size:
                        truncated += 1
                        continue
                    row[written] = i
                    signal[written] = j
                    value[written] = _scaled(s, _raw(s, payload, start))
                    written += 1
            for k in range(node.multiplexer_start, node.multiplexer_end):
                x = t.multiplexer[k]
                s = t.signal[x.signal]
                if s.bytes_needed > size:
                    continue
                fits, selected = _selected(x, s, payload, start)
                child = _case(t.case_value, t.case_node, x, selected) if fits else _UNKNOWN
                if child == _UNKNOWN:
                    strange = True
                else:
                    stack[depth] = child
                    depth += 1
        unknown += strange
    return written, truncated, unknown
