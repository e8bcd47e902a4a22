"""A 64-bit hash of what a frame says: channel, arbitration id, length and data.

Each step is a bijection of 64 bits, MurmurHash3's finaliser (A. Appleby, 2011) with the constants of Stafford's
variant 13, over the header and then each 8-byte word: frames of one header and up to 8 data bytes never collide.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.types import I32, I64, U8, U32, Bools

_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_EIGHT, _SIXTEEN, _FORTY_EIGHT = np.uint64(8), np.uint64(16), np.uint64(48)


@njit(cache=True, nogil=True)
def mix(x: np.uint64) -> np.uint64:
    """Spread 64 bits over 64 bits, one to one."""
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@njit(cache=True, nogil=True)
def _word(payload: U8, start: int, length: int) -> np.uint64:
    """Up to 8 bytes as one little-endian number."""
    word = np.uint64(0)
    for k in range(length):
        word |= np.uint64(payload[start + k]) << np.uint64(8 * k)
    return word


@njit(cache=True, nogil=True)
def hash_contents(counted: Bools, channel: U8, arbitration_id: U32, offsets: I32, payload: U8, hashes: I64) -> None:
    """Write the hash of every row that is not counted into `hashes`, int64[n]. O(bytes)."""
    for i in range(len(counted)):
        if counted[i]:
            continue
        start, end = offsets[i], offsets[i + 1]
        header = np.uint64(channel[i]) | np.uint64(end - start) << _EIGHT | np.uint64(arbitration_id[i]) << _SIXTEEN
        code = mix(header)
        while end - start >= 8:
            code = mix(code ^ _word(payload, start, 8))
            start += 8
        if end > start:
            code = mix(code ^ _word(payload, start, end - start))
        hashes[i] = np.int64(code)
