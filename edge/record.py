"""Records in a file: length, CRC-32 and bytes, so that a torn end is told from whole records."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct("<II")
HEADER_BYTES: Final = _HEADER.size
_LONGEST: Final = 4096


class Record(NamedTuple):
    """A whole record: where it starts and ends in what was read, and its payload."""

    start: int
    end: int
    payload: bytes


def wrap(payload: bytes) -> bytes:
    """`payload`, 1 to 4096 bytes, as a record."""
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def whole_records(content: bytes) -> Iterator[Record]:
    """Every record from the start of `content` up to the first that is cut, damaged or empty.

    An empty one ends them too: where power was cut, a file may end in zeros, and zeros are the header of an empty
    record.
    """
    position = 0
    while position + HEADER_BYTES <= len(content):
        length, checksum = _HEADER.unpack_from(content, position)
        end = position + HEADER_BYTES + length
        if not 0 < length <= _LONGEST or end > len(content):
            return
        payload = content[position + HEADER_BYTES : end]
        if zlib.crc32(payload) != checksum:
            return
        yield Record(position, end, payload)
        position = end
