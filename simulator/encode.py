"""Physical values into CAN data, bit for bit what cantools encodes, in numba."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pipeline.types import F64, I64, U8, U64
from simulator.layout import FLOAT16, FLOAT32, FLOAT64, Layout

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_BYTE = np.uint64(0xFF)


@njit(cache=True, nogil=True)
def half_bits(value: float) -> int:
    """IEEE 754 binary16 pattern of `value`, rounded half to even; infinity from 65520 on."""
    sign = 0x8000 if value < 0.0 else 0
    size = abs(value)
    if size >= 65520.0:
        return sign | 0x7C00
    if size < 2.0**-14:
        return sign | int(np.rint(size * 2.0**24))
    fraction, exponent = math.frexp(size)
    # A fraction that rounds up to 1 carries into the exponent, as the format intends.
    return sign | (((exponent + 14) << 10) + int(np.rint((2.0 * fraction - 1.0) * 1024.0)))


@njit(cache=True, nogil=True)
def raw_bits(layout: Layout, field: int, value: float) -> np.uint64:
    """The field's bit pattern for a physical value: (value - offset) / scale, rounded half to even, clamped."""
    raw = (value - layout.offset[field]) / layout.scale[field]
    kind = layout.kind[field]
    if kind == FLOAT64:
        return np.float64(raw).view(np.uint64)
    if kind == FLOAT32:
        return np.uint64(np.float32(raw).view(np.uint32))
    if kind == FLOAT16:
        return np.uint64(half_bits(raw))
    raw = min(max(np.rint(raw), layout.raw_low[field]), layout.raw_high[field])
    pattern = np.uint64(np.int64(raw)) if raw < 0.0 else np.uint64(raw)
    return pattern & (_ALL >> np.uint64(64 - layout.bits[field]))


@njit(cache=True, nogil=True)
def place(intel: U64, motorola: U64, layout: Layout, field: int, pattern: np.uint64) -> None:
    """OR the pattern into the little-endian words `intel` or the big-endian words `motorola`, uint64[W + 1]."""
    start = layout.start[field]
    bits = layout.bits[field]
    word = start >> 6
    used = start & 63
    if layout.motorola[field]:
        spare = 64 - used - bits
        if spare >= 0:
            motorola[word] |= pattern << np.uint64(spare)
        else:
            motorola[word] |= pattern >> np.uint64(-spare)
            motorola[word + 1] |= pattern << np.uint64(64 + spare)
    else:
        intel[word] |= pattern << np.uint64(used)
        if used + bits > 64:
            intel[word + 1] |= pattern >> np.uint64(64 - used)


@njit(cache=True, nogil=True)
def byteswap(word: np.uint64) -> np.uint64:
    """The word's eight bytes in reverse."""
    swapped = np.uint64(0)
    for shift in range(0, 64, 8):
        swapped = (swapped << np.uint64(8)) | ((word >> np.uint64(shift)) & _BYTE)
    return swapped


@njit(cache=True, nogil=True)
def encode_variant(layout: Layout, variant: int, values: F64, intel: U64, motorola: U64) -> None:
    """Encode one frame into `intel`, little-endian words whose bytes are the data. `values` is by signal.

    `intel` and `motorola` are scratch, uint64[W + 1]; unused bits are 0.
    """
    for word in range(len(intel)):
        intel[word] = np.uint64(0)
        motorola[word] = np.uint64(0)
    for field in range(layout.first_field[variant], layout.first_field[variant + 1]):
        if layout.fixed[field] >= 0:
            place(intel, motorola, layout, field, np.uint64(layout.fixed[field]))
        else:
            place(intel, motorola, layout, field, raw_bits(layout, field, values[layout.signal[field]]))
    for word in range(len(intel)):
        intel[word] |= byteswap(motorola[word])


@njit(cache=True, nogil=True)
def encode_rows(layout: Layout, variant: int, values: F64) -> U64:
    """Encode float64[n, S] rows of physical values (columns by signal) as one variant; uint64[n, W]."""
    out = np.zeros((len(values), layout.words), np.uint64)
    intel = np.zeros(layout.words + 1, np.uint64)
    motorola = np.zeros(layout.words + 1, np.uint64)
    for row in range(len(values)):
        encode_variant(layout, variant, values[row], intel, motorola)
        out[row] = intel[: layout.words]
    return out


@njit(cache=True, nogil=True)
def pack(words: U64, order: I64, offsets: I64, payload: U8) -> None:
    """Copy the data of rows `order` end to end: row i's bytes to payload[offsets[i]:offsets[i + 1]]."""
    for row in range(len(order)):
        begin = offsets[row]
        for byte in range(offsets[row + 1] - begin):
            shift = np.uint64(8 * (byte & 7))
            payload[begin + byte] = np.uint8((words[order[row], byte >> 3] >> shift) & _BYTE)
