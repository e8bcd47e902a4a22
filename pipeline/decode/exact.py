"""`raw * scale + offset` of integers, computed exactly in 128 bits and rounded to float64 once.

Python computes `int * int + int` without bound and `float(int)` rounds to nearest, ties to even; a float64 product
would round up to three times. Used where a result can exceed 2^53.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

EXACT_SCALE_BOUND: Final = 1 << 62
"""Largest |scale|: with 64-bit raw values the product stays below 2^126."""
EXACT_OFFSET_BOUND: Final = 1 << 126
"""Largest |offset|: the sum stays inside 128 bits signed."""


@njit(cache=True, nogil=True, fastmath=False)
def product_128(left: np.uint64, right: np.uint64) -> tuple[np.uint64, np.uint64]:
    """High and low half of the 128-bit product, from four 32-bit products (Knuth, TAOCP 2, 4.3.1 M)."""
    half = np.uint64(32)
    low_half = np.uint64(0xFFFFFFFF)
    a1, a0 = left >> half, left & low_half
    b1, b0 = right >> half, right & low_half
    low = a0 * b0
    middle = a1 * b0 + (low >> half)
    other = a0 * b1 + (middle & low_half)
    return a1 * b1 + (middle >> half) + (other >> half), (other << half) | (low & low_half)


@njit(cache=True, nogil=True, fastmath=False)
def round_128(high: np.uint64, low: np.uint64) -> float:
    """float64 nearest to the unsigned 128-bit integer, ties to even.

    The leading 64 bits keep a sticky bit for all that is below them, so the one conversion that rounds sees a value
    on the same side of every tie; the scaling by a power of two after it is exact.
    """
    if high == np.uint64(0):
        return np.float64(low)
    power = 1.0
    one = np.uint64(1)
    top_bit = np.uint64(1) << np.uint64(63)
    shifted_out = 64
    while (high & top_bit) == np.uint64(0):
        high = (high << one) | (low >> np.uint64(63))
        low = low << one
        shifted_out -= 1
    for _ in range(shifted_out):
        power *= 2.0
    if low != np.uint64(0):
        high = high | one
    return np.float64(high) * power


@njit(cache=True, nogil=True, fastmath=False)
def multiply_add(
    magnitude: np.uint64, negative: bool, scale: np.int64, offset_high: np.int64, offset_low: np.uint64
) -> float:
    """float64 of `±magnitude * scale + offset`, correctly rounded. O(1).

    Needs |scale| <= EXACT_SCALE_BOUND and |offset| <= EXACT_OFFSET_BOUND.
    """
    zero = np.uint64(0)
    one = np.uint64(1)
    high, low = product_128(magnitude, np.uint64(scale) if scale >= 0 else zero - np.uint64(scale))
    if negative != (scale < 0):
        low = ~low + one
        high = ~high + (one if low == zero else zero)
    total = low + offset_low
    high = high + np.uint64(offset_high) + (one if total < low else zero)
    if (high >> np.uint64(63)) == zero:
        return round_128(high, total)
    total = ~total + one
    high = ~high + (one if total == zero else zero)
    return -round_128(high, total)
