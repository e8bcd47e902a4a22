"""Which partition a vehicle belongs to: a hash that must never change.

    h = 14695981039346656037                          FNV-1a, 64 bits
    for byte in utf8(fleet) + NUL + utf8(vehicle):
        h = (h xor byte) * 1099511628211  mod 2^64
    h = h xor (h >> 33);  h = h * 0xff51afd7ed558ccd  mod 2^64       the finaliser of MurmurHash3,
    h = h xor (h >> 33);  h = h * 0xc4ceb9fe1a85ec53  mod 2^64       without which the low bits of FNV-1a
    h = h xor (h >> 33)                                              follow the last characters of the id
    partition = h mod partitions

Journals, checkpoints and stored tables depend on it: changing a constant moves vehicles away from their state.
Fleet and vehicle ids hold no NUL, so no two pairs hash the same bytes.

Sources: Fowler, Noll, Vo, draft-eastlake-fnv; Appleby, MurmurHash3 `fmix64`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit

from pipeline.frames.vehicles import utf8_views
from pipeline.types import I32, U8


@njit(cache=True, nogil=True, fastmath=False)
def _partitions(prefix: U8, offsets: I32, values: U8, partitions: int, out: I32) -> None:
    prime = np.uint64(1099511628211)
    start = np.uint64(14695981039346656037)
    shift = np.uint64(33)
    for byte in prefix:
        start = (start ^ np.uint64(byte)) * prime
    for i in range(len(out)):
        h = start
        for j in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(values[j])) * prime
        h = (h ^ (h >> shift)) * np.uint64(0xFF51AFD7ED558CCD)
        h = (h ^ (h >> shift)) * np.uint64(0xC4CEB9FE1A85EC53)
        h ^= h >> shift
        out[i] = h % np.uint64(partitions)


def partition_of(fleet: str, vehicles: pa.StringArray, partitions: int) -> I32:
    """The partition of each vehicle of a fleet: int32[len(vehicles)], each within 0 to partitions - 1. O(bytes).

    Args:
        fleet: the fleet's name.
        vehicles: vehicle ids, Arrow utf8 without nulls; a batch's dictionary, so that each id is hashed once.
        partitions: how many partitions the deployment has, at least 1; fixed for its life.
    """
    offsets, values = utf8_views(vehicles)
    out = np.empty(len(vehicles), np.int32)
    prefix = np.frombuffer(fleet.encode() + b"\0", np.uint8)
    _partitions(prefix, offsets, values, partitions, out)
    return out
