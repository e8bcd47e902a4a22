"""Flat state arrays: growth by doubling, and one numba type for every input."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def grown(array: NDArray[T], length: int, fill: int = 0, axis: int = 0, first: int = 64) -> NDArray[T]:
    """`array` itself where it has `length` elements along `axis`, else a copy of `first` or at least twice as long.

    New elements hold `fill`. With fill 0 they come from untouched pages, which cost no memory until written.
    Amortised O(1) an element.
    """
    old = array.shape[axis]
    if old >= length:
        return array
    shape = list(array.shape)
    shape[axis] = max(length, 2 * old, first)
    larger = np.zeros(shape, array.dtype) if fill == 0 else np.full(shape, fill, array.dtype)
    larger[(slice(None),) * axis + (slice(old),)] = array
    return larger


def read_only(array: NDArray[T]) -> NDArray[T]:
    """A contiguous view that cannot be written through.

    Arrow buffers are read-only and fresh NumPy arrays are not; numba compiles a kernel anew for each mixture, in the
    middle of the stream. Through this every input has one type.
    """
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def length_for(indices: NDArray[np.int32]) -> int:
    """Length of an array that all `indices` fit into; 0 for none. O(n)."""
    return int(indices.max()) + 1 if len(indices) else 0
