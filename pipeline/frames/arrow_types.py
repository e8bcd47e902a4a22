"""Turn the Arrow types that clients send into those that the kernels read, and keep what cannot be turned apart."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.frames.reasons import Reason
from pipeline.frames.vehicles import frozen
from pipeline.types import I64, U8

_LONGEST_VIEW: Final = 260
_TO_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1_000}
_I64_MAX: Final = np.iinfo(np.int64).max


def is_text(kind: pa.DataType) -> bool:
    """Whether it is one of Arrow's three string layouts."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether it is one of Arrow's four binary layouts."""
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def is_text_or_dictionary(kind: pa.DataType) -> bool:
    """Whether it is a string, or a dictionary of strings."""
    return is_text(kind) or (pa.types.is_dictionary(kind) and is_text(kind.value_type))


def plain_text(column: pa.Array) -> pa.StringArray:
    """Any string layout as utf8."""
    return _plain(column, pa.utf8())


def plain_bytes(column: pa.Array) -> pa.BinaryArray:
    """Any binary layout as binary, aligned, and one that has an offsets buffer."""
    return _plain(column, pa.binary())


def _plain(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
        column = _cut_views(column)
    return column.cast(kind)


def _cut_views(column: pa.Array) -> pa.Array:
    """Cut values of a view layout to 260 bytes.

    Views may overlap: a few kilobytes could stand for terabytes once copied out. 260 bytes are more than any
    valid value has (64 characters of 4 bytes, 64 bytes of data), so a cut one is still rejected as too long.
    """
    validity, views, *values = column.buffers()
    start = column.offset
    words = np.frombuffer(views, np.int32, 4 * (start + len(column))).copy()
    np.minimum(words[::4], _LONGEST_VIEW, out=words[::4])
    if column.null_count:
        # Arrow validates no view of a null, and its cast follows them all the same.
        words.reshape(-1, 4)[start:][column.is_null().to_numpy(zero_copy_only=False)] = 0
    buffers = [validity, pa.py_buffer(words), *values]
    return pa.Array.from_buffers(column.type, len(column), buffers, -1, start)


def microseconds(column: pa.TimestampArray) -> I64:
    """Timestamps of any unit and zone as int64 microseconds since the epoch, 0 where null.

    Nanoseconds are rounded down. What does not fit saturates, and so fails the bounds of time later. A column
    without a zone is taken as UTC.
    """
    unit = column.type.unit
    values = _numbers(column.view(pa.int64()))
    if unit == "us":
        return values
    factor = _TO_MICROSECONDS[unit]
    if unit == "ns":
        return frozen(values // factor)
    bound = _I64_MAX // factor
    return frozen(np.clip(values, -bound, bound) * factor)


def integers(column: pa.Array, dtype: type[np.generic], negative: Reason, large: Reason, fault: U8) -> np.ndarray:
    """Integers of any width as `dtype`[n], 0 where null; what does not fit becomes 0 and marks `fault` uint8[n]."""
    values = _numbers(column)
    if values.dtype == dtype:
        return values
    if values.dtype.kind == "i":
        mark(fault, values < 0, negative)
    bounds = np.iinfo(dtype)  # type: ignore[type-var]
    if np.iinfo(values.dtype).max > bounds.max:
        mark(fault, values > bounds.max, large)
    fits = (values >= 0) & (values <= min(bounds.max, np.iinfo(values.dtype).max))
    return frozen(np.where(fits, values, 0).astype(dtype))


def mark(fault: U8, rows: np.ndarray, reason: Reason) -> None:
    """Set the reason in `fault` uint8[n] where `rows` bool[n] is true, unless a lower code is there already."""
    fault[rows & ((fault == 0) | (fault > reason))] = reason


def _numbers(column: pa.Array) -> np.ndarray:
    if column.null_count:
        column = pc.fill_null(column, 0)
    return frozen(column.to_numpy())
