"""Checkpoints: named NumPy arrays and a JSON document in one file, written atomically, checked on load.

A file (version 1, little-endian): header 8s "CFCHKPNT" · u32 version · u32 crc32 of the index · u64 bytes of the
index; the index, JSON with the caller's document and each array's name, dtype, shape, position and crc32; then the
arrays' bytes, in C order, each at a multiple of 64.

The newest two files of a name are kept, so that one damaged file costs a longer replay and no more.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.durable import create_file, make_directory, sync_directory
from pipeline.errors import JournalCorrupt, JournalError

JSON: TypeAlias = Mapping[str, "JSON"] | list["JSON"] | str | int | float | bool | None
Array: TypeAlias = NDArray[Any]

_MAGIC: Final = b"CFCHKPNT"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIQ")
_ALIGNMENT: Final = 64
_KEEP: Final = 2
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        meta: the caller's document.
        arrays: writable, C-contiguous, in memory of their own.
        path: the file it came from.
        skipped: what was wrong with each newer file that could not be used; empty in the good case.
    """

    meta: dict[str, Any]
    arrays: dict[str, Array]
    path: Path
    skipped: list[str]


def save(directory: Path, name: str, meta: Mapping[str, JSON], arrays: Mapping[str, Array]) -> Path:
    """Write a checkpoint, durable and whole on return, and drop all but the newest two of this name.

    The arrays must not change meanwhile. O(bytes): one checksum pass, one write, no copy of C-contiguous arrays.

    Args:
        directory: created where absent; one writer for each name.
        name: letters, digits, "-" and "_".
        meta: any document that JSON holds; numbers must be finite.
        arrays: of any shape, of numbers, booleans, times or fixed-size texts.

    Raises:
        JournalError: the name, the document or an array cannot be stored, or the disk refused; the older checkpoints
            are as they were.
    """
    if not _NAME.fullmatch(name):
        raise JournalError(f"checkpoint name {name!r}: use letters, digits, - and _")
    try:
        make_directory(directory)
        newest = _files(directory, name)
        path = directory / f"{name}-{_number(newest[0]) + 1 if newest else 1:012d}.checkpoint"
        create_file(path, _views(meta, arrays))
        for old in newest[_KEEP - 1 :]:
            old.unlink()
        sync_directory(directory)
    except (OSError, TypeError, ValueError) as error:
        raise JournalError(f"checkpoint {name} cannot be saved in {directory}: {error}") from error
    return path


def load_latest(directory: Path, name: str) -> Checkpoint | None:
    """The newest checkpoint of a name that is whole; see `Checkpoint.skipped` for those that were not.

    Raises:
        JournalCorrupt: there are checkpoints, and none is whole.
        JournalError: a file cannot be read.
    """
    skipped: list[str] = []
    for path in _files(directory, name):
        try:
            meta, arrays = _load(path)
        except JournalCorrupt as error:
            skipped.append(str(error))
        except OSError as error:
            raise JournalError(f"checkpoint {path} cannot be read: {error}; see to its disk") from error
        else:
            return Checkpoint(meta, arrays, path, skipped)
    if skipped:
        raise JournalCorrupt("no checkpoint is whole: " + "; ".join(skipped) + "; remove them to replay from the start")
    return None


def _files(directory: Path, name: str) -> list[Path]:
    """The checkpoint files of a name, newest first."""
    pattern = re.compile(re.escape(name) + r"-\d{12}\.checkpoint")
    return sorted((path for path in directory.glob("*.checkpoint") if pattern.fullmatch(path.name)), reverse=True)


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _views(meta: Mapping[str, JSON], arrays: Mapping[str, Array]) -> list[memoryview]:
    """The file's bytes. Raises TypeError or ValueError where something cannot be stored."""
    entries, bodies, position = [], [], 0
    for key, array in arrays.items():
        if array.dtype.hasobject or array.dtype.fields is not None:
            raise TypeError(f"array {key} has dtype {array.dtype}: only plain ones of fixed size are stored")
        whole = np.ascontiguousarray(array).reshape(array.shape)
        body = whole.reshape(-1).view(np.uint8).data if whole.size else memoryview(b"")
        entries.append(
            {
                "name": key,
                "dtype": array.dtype.str,
                "shape": array.shape,
                "position": position,
                "crc32": zlib.crc32(body),
            }
        )
        gap = -len(body) % _ALIGNMENT
        bodies += [body, memoryview(bytes(gap))]
        position += len(body) + gap
    index = json.dumps({"meta": meta, "arrays": entries, "bytes": position}, allow_nan=False).encode()
    index += b" " * (-(len(index) + _HEADER.size) % _ALIGNMENT)
    header = _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(index), len(index))
    return [memoryview(header), memoryview(index), *bodies]


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Raises JournalCorrupt where the file is not whole, OSError where it cannot be read."""
    with path.open("rb", buffering=0) as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or header[:8] != _MAGIC:
            raise JournalCorrupt(f"{path}: the header is damaged")
        _, version, crc, length = _HEADER.unpack(header)
        if version != _VERSION:
            raise JournalCorrupt(f"{path}: checkpoint version {version}, this canfleet reads {_VERSION}")
        index = file.read(length) if length <= os.fstat(file.fileno()).st_size else b""
        if zlib.crc32(index) != crc or not index:
            raise JournalCorrupt(f"{path}: the index is damaged")
        document = json.loads(index)
        begin = _HEADER.size + length
        if os.fstat(file.fileno()).st_size != begin + document["bytes"]:
            raise JournalCorrupt(f"{path}: it should have {begin + document['bytes']} bytes")
        arrays: dict[str, Array] = {}
        for entry in document["arrays"]:
            arrays[entry["name"]] = _array(path, file.fileno(), begin, entry)
    return document["meta"], arrays


def _array(path: Path, fd: int, begin: int, entry: dict[str, Any]) -> Array:
    array = np.empty(entry["shape"], np.dtype(entry["dtype"]))
    if array.size:
        body = array.reshape(-1).view(np.uint8).data
        at = 0
        while at < len(body):
            got = os.preadv(fd, [body[at:]], begin + entry["position"] + at)
            if got == 0:
                break
            at += got
        if zlib.crc32(body) != entry["crc32"]:
            raise JournalCorrupt(f"{path}: array {entry['name']} is damaged")
    return array
