"""Vehicle dictionaries: each distinct id once, checked once, only the used ones kept."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from pipeline.frames.reasons import Reason
from pipeline.frames.schema import MAX_VEHICLE_ID_CHARACTERS
from pipeline.types import I32, I64, U8

_A = TypeVar("_A", bound=NDArray[Any])

_EMPTY: Final = int(Reason.VEHICLE_ID_EMPTY)
_TOO_LONG: Final = int(Reason.VEHICLE_ID_TOO_LONG)
_CONTROL: Final = int(Reason.VEHICLE_ID_CONTROL_CHARACTER)


def utf8_views(strings: pa.StringArray) -> tuple[I32, U8]:
    """Read-only views of a utf8 array: offsets int32[n + 1] and bytes uint8[...]. O(1)."""
    _, offsets, values = strings.buffers()
    if not len(strings):
        return frozen(np.zeros(1, np.int32)), frozen(np.zeros(0, np.uint8))
    view = np.frombuffer(offsets, np.int32, len(strings) + 1, strings.offset * 4)
    payload = np.frombuffer(values, np.uint8) if values is not None and values.size else np.zeros(0, np.uint8)
    return frozen(view), frozen(payload)


def frozen(array: _A) -> _A:
    """The array, marked read-only, so that a kernel sees one type of argument and is compiled once."""
    array.setflags(write=False)
    return array


@njit(cache=True, nogil=True, fastmath=False)
def _vehicle_faults(offsets: I32, values: U8, out: U8) -> None:
    for i in range(len(out)):
        start, stop = offsets[i], offsets[i + 1]
        if start == stop:
            out[i] = _EMPTY
            continue
        characters = 0
        control = False
        for j in range(start, stop):
            byte = values[j]
            # Bytes 10xxxxxx continue a character; C2 80 to C2 9F encode the control characters U+0080 to U+009F.
            characters += (byte & 0xC0) != 0x80
            control |= byte < 0x20 or byte == 0x7F or (byte == 0xC2 and j + 1 < stop and values[j + 1] < 0xA0)
        if characters > MAX_VEHICLE_ID_CHARACTERS:
            out[i] = _TOO_LONG
        elif control:
            out[i] = _CONTROL
        else:
            out[i] = 0


def vehicle_faults(vehicles: pa.StringArray) -> U8:
    """The `Reason` code of each vehicle id, 0 where it is good: uint8[len(vehicles)]. O(bytes)."""
    out = np.empty(len(vehicles), np.uint8)
    offsets, values = utf8_views(vehicles)
    _vehicle_faults(offsets, values, out)
    return out


@njit(cache=True, nogil=True, fastmath=False)
def _compact(vehicle: I32, size: int, remap: I32, kept: I32, out: I32) -> int:
    for i in range(size):
        remap[i] = -1
    for i in range(len(vehicle)):
        if vehicle[i] >= 0:
            remap[vehicle[i]] = 0
    used = 0
    for i in range(size):
        if remap[i] == 0:
            remap[i] = used
            kept[used] = i
            used += 1
    for i in range(len(vehicle)):
        out[i] = remap[vehicle[i]] if vehicle[i] >= 0 else -1
    return used


def compact(vehicles: pa.StringArray, vehicle: I32) -> tuple[pa.StringArray, I32]:
    """The same rows over a dictionary without unused ids, in the order it had. O(rows + ids)."""
    size = len(vehicles)
    remap, kept, out = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(len(vehicle), np.int32)
    used = _compact(frozen(vehicle), size, remap, kept, out)
    if used == size:
        return vehicles, vehicle
    return vehicles.take(pa.array(kept[:used])), frozen(out)


def merge(dictionaries: list[pa.StringArray], indices: list[I32]) -> tuple[pa.StringArray, I32]:
    """One dictionary with each id once, and all rows' indices into it.

    Dictionaries may hold an id twice, or nulls; an index of -1, or of a null entry, becomes -1.
    O(rows + ids), hashing each id once per distinct dictionary.
    """
    joined = dictionaries[0] if len(dictionaries) == 1 else pa.concat_arrays(dictionaries)
    encoded = joined.dictionary_encode()
    vehicles = encoded.dictionary
    if len(dictionaries) == 1 and len(vehicles) == len(joined):
        return vehicles, indices[0]
    # One entry more, reached by -1, stands for "no vehicle".
    codes = np.append(encoded.indices.fill_null(-1).to_numpy(), np.int32(-1)).astype(np.int32)
    starts: I64 = np.cumsum([0, *map(len, dictionaries)])
    rows = [np.where(index < 0, -1, index + start) for index, start in zip(indices, starts[:-1], strict=True)]
    return vehicles, frozen(codes[np.concatenate(rows)])
