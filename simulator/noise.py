"""Counter-based random numbers: a value depends on its key alone, never on the order of asking.

So a vehicle drives the same whatever the fleet's size, and however the run is cut into ticks. The mixer is the
finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.types import U64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_SHORT = np.uint64(0xFFFF)


@njit(cache=True, nogil=True)
def mix(key: np.uint64, counter: int) -> np.uint64:
    """64 well-mixed bits of (key, counter)."""
    bits = key + (np.uint64(counter) + np.uint64(1)) * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))


@njit(cache=True, nogil=True)
def vehicle_keys(seed: np.uint64, count: int) -> U64:
    """A key per vehicle, uint64[count]; the same vehicle number has the same key in a fleet of any size."""
    keys = np.empty(count, np.uint64)
    root = mix(seed, 0)
    for number in range(count):
        keys[number] = mix(root, number)
    return keys


@njit(cache=True, nogil=True)
def uniform(bits: np.uint64) -> float:
    """[0, 1) from the upper 53 bits."""
    return np.float64(bits >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True)
def bell(bits: np.uint64) -> float:
    """Nearly normal, mean 0, deviation 1, within ±3.47: the sum of four 16-bit parts (Irwin-Hall)."""
    total = (
        (bits & _SHORT)
        + ((bits >> np.uint64(16)) & _SHORT)
        + ((bits >> np.uint64(32)) & _SHORT)
        + (bits >> np.uint64(48))
    )
    return (np.float64(total) - 131070.0) / 37836.9
