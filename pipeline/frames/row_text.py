"""Rows as JSON text, the way they can be sent again: data in hexadecimal, timestamps in microseconds."""

from __future__ import annotations

import json
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from pipeline.frames.columns import binary_views
from pipeline.frames.schema import OPTIONAL
from pipeline.types import I32, I64, U8

_SHOWN_CHARACTERS: Final = 256
_DIGITS: Final = np.frombuffer(b"0123456789abcdef", np.uint8)


@njit(cache=True, nogil=True, fastmath=False)
def _hex(offsets: I32, payload: U8, digits: U8, out_offsets: I32, out: U8) -> None:
    at = 0
    for i in range(len(offsets) - 1):
        for j in range(offsets[i], offsets[i + 1]):
            out[at] = digits[payload[j] >> 4]
            out[at + 1] = digits[payload[j] & 15]
            at += 2
        out_offsets[i + 1] = at


def hex_text(data: pa.BinaryArray) -> pa.StringArray:
    """Each value in lower-case hexadecimal, nulls stay null. O(bytes)."""
    offsets, payload = binary_views(data)
    out = np.empty(2 * int(offsets[-1] - offsets[0]), np.uint8)
    out_offsets = np.zeros(len(offsets), np.int32)
    _hex(offsets, payload, _DIGITS, out_offsets, out)
    text = pa.StringArray.from_buffers(len(data), pa.py_buffer(out_offsets), pa.py_buffer(out))
    return pc.if_else(data.is_valid(), text, pa.scalar(None, pa.utf8())) if data.null_count else text


def vehicle_text(vehicles: pa.StringArray, vehicle: I32) -> pa.StringArray:
    """Each row's vehicle id as JSON, ids past 256 characters cut off. O(rows), and a Python step per distinct id.

    The cut bounds what a crafted body costs: one huge id may be used by every row.
    """
    used, position = np.unique(vehicle, return_inverse=True)
    texts: list[str] = []
    for index in used.tolist():
        if index < 0:
            texts.append("null")
            continue
        # A view column is cut at a byte, perhaps within a character: hence `replace`.
        whole = vehicles[index].cast(pa.binary()).as_py().decode("utf-8", "replace")
        cut = whole if len(whole) <= _SHOWN_CHARACTERS else f"{whole[:_SHOWN_CHARACTERS]}… ({len(whole)} characters)"
        texts.append(json.dumps(cut, ensure_ascii=False))
    return pa.array(texts, pa.utf8()).take(pa.array(position.astype(np.int64)))


def row_text(
    vehicle: pa.StringArray,
    timestamp: pa.Array,
    arbitration_id: pa.Array,
    data: pa.BinaryArray,
    optional: dict[str, pa.Array],
) -> pa.StringArray:
    """One JSON object per row; nulls stay null, and of the optional columns only those given appear.

    Args:
        vehicle: the vehicle ids as JSON texts.
        timestamp: integers, microseconds since the epoch.
        arbitration_id: integers.
        data: binary.
        optional: booleans (`is_extended`) or integers by column name.
    """
    quoted = pc.binary_join_element_wise('"', hex_text(data), '"', "")
    parts = ['{"vehicle_id":', vehicle, ',"timestamp":', _text(timestamp), ',"arbitration_id":', _text(arbitration_id)]
    parts += [',"data":', quoted]
    for name, column in optional.items():
        parts += [f',"{name}":', _text(column)]
    return pc.binary_join_element_wise(*parts, "}", "", null_handling="replace", null_replacement="null")


def _text(column: pa.Array) -> pa.StringArray:
    return column.cast(pa.utf8())


def canonical_text(frames: pa.RecordBatch, rows: I64) -> pa.StringArray:
    """The JSON texts of some rows (int64[k]) of a batch of schema `CANONICAL`."""
    taken = frames.take(pa.array(rows))
    vehicle = taken.column("vehicle_id")
    return row_text(
        vehicle_text(vehicle.dictionary, vehicle.indices.to_numpy()),
        taken.column("timestamp").cast(pa.int64()),
        taken.column("arbitration_id"),
        taken.column("data"),
        {name: taken.column(name) for name in OPTIONAL},
    )
