"""The bytes of one journal segment: its header, its records, and how a torn end is told from damage.

A segment file holds a part of the journal's logical byte line, beginning at `base`:

    header   8s magic · u32 version · u32 crc32 of the rest · i64 base · 8s marker          32 bytes
    record   8s marker · i64 offset · u32 unsynced · u32 length · u32 kind · u32 crc32      32 bytes
             payload, zeros up to a multiple of 8; the checksum covers all of the record but itself

All numbers are little-endian. The logical offset of a record is `base` plus its place after the file's header, so
offsets count record bytes only, are multiples of 8, and the next segment's base is this one's end.

`marker` is eight random bytes drawn for each segment. It begins every record, so that a record can be found again
after damage, and nobody who can only choose payloads can forge one (compare the sync marker of Avro files).

`unsynced` is how many bytes before this record were not yet durable when it was written. It is what tells a torn end
from damage. The kernel writes un-synced pages in any order, so after a power cut an intact record may stand behind a
broken one. Let the first broken record stand at X:

- an intact record behind X says that everything before some D > X was durable when it was written: damage;
- the durable mark (a file beside the segments, written after each sync) is beyond X: damage;
- else X was never acknowledged, and all from X on is the torn end: it is cut.

The mark is written without a sync of its own, after the sync it speaks of: it may be old after a power cut, never too
far ahead. So the only damage that passes for a torn end is damage to the last synced batch, before the next one was
written, together with a power cut that lost the mark.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.durable import Bytes, create_file
from pipeline.errors import JournalCorrupt

_MAGIC: Final = b"CANFJRNL"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIq8s")
_RECORD: Final = struct.Struct("<8sqIIII")

HEADER_BYTES: Final = _HEADER.size
RECORD_BYTES: Final = _RECORD.size
MAX_PAYLOAD_BYTES: Final = 1 << 30
SUFFIX: Final = ".journal"

READ_BYTES: Final = 4 << 20
"""Size of a sequential read: large enough that system calls cost nothing, small enough to stay in the CPU's cache."""


class Record(NamedTuple):
    """One journal record.

    Attributes:
        offset: logical byte offset of the record.
        kind: the caller's number for what the payload is.
        payload: its bytes, read-only, 8-byte aligned; they keep the read buffer (about 4 MiB) alive.
        next_offset: logical offset of the record behind it.
    """

    offset: int
    kind: int
    payload: memoryview
    next_offset: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file: where it is, where it begins on the logical line, and the marker of its records."""

    path: Path
    base: int
    marker: bytes

    def position(self, offset: int) -> int:
        """File position of a logical offset."""
        return offset - self.base + HEADER_BYTES


def segment_name(base: int) -> str:
    """File name of the segment that begins at `base`; names sort in order of bases."""
    return f"{base:020d}{SUFFIX}"


def create_segment(directory: Path, base: int) -> Segment:
    """Write a new empty segment, durable with its name: a segment that has a name has a whole header. OSError."""
    marker = os.urandom(8)
    body = struct.pack("<q8s", base, marker)
    header = _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(body), base, marker)
    path = directory / segment_name(base)
    create_file(path, [memoryview(header)])
    return Segment(path, base, marker)


def open_segment(path: Path) -> Segment:
    """Read a segment's header.

    Raises:
        JournalCorrupt: it is not a whole header of this version, or not the one that the file name promises.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        raise JournalCorrupt(f"{path}: the header has {len(header)} of {HEADER_BYTES} bytes; restore the file")
    magic, version, crc, base, marker = _HEADER.unpack(header)
    if magic == _MAGIC and version != _VERSION:
        raise JournalCorrupt(f"{path}: written by journal version {version}, this is version {_VERSION}")
    if magic != _MAGIC or crc != zlib.crc32(header[16:]) or path.name != segment_name(base):
        raise JournalCorrupt(f"{path}: the header, at position 0, is damaged; restore the file")
    return Segment(path, base, marker)


def padding(length: int) -> int:
    """Number of zero bytes behind a payload of `length` bytes."""
    return -length % 8


def record_views(
    segment: Segment, offset: int, durable_end: int, kind: int, buffers: Sequence[Bytes]
) -> list[memoryview]:
    """The bytes of one record, ready for a gather-write; payload buffers are not copied. O(bytes), for the checksum."""
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    length = sum(len(view) for view in views)
    head = bytearray(_RECORD.pack(segment.marker, offset, offset - durable_end, length, kind, 0))
    crc = zlib.crc32(memoryview(head)[:-4])
    views.append(memoryview(bytes(padding(length))))
    for view in views:
        crc = zlib.crc32(view, crc)
    struct.pack_into("<I", head, RECORD_BYTES - 4, crc)
    return [memoryview(head), *views]


def parse_record(segment: Segment, buffer: memoryview, at: int, offset: int) -> tuple[Record | None, int]:
    """The record at `buffer[at:]`, which should be the one at logical `offset`.

    Returns:
        The record and the number of bytes it takes; or None and the number of bytes that are needed from `at` on to
        judge it, which is 0 where it is broken whatever follows.
    """
    if len(buffer) - at < RECORD_BYTES:
        return None, RECORD_BYTES
    marker, stated, _, length, kind, crc = _RECORD.unpack_from(buffer, at)
    if marker != segment.marker or stated != offset or length > MAX_PAYLOAD_BYTES:
        return None, 0
    size = RECORD_BYTES + length + padding(length)
    if len(buffer) - at < size:
        return None, size
    if zlib.crc32(buffer[at + RECORD_BYTES : at + size], zlib.crc32(buffer[at : at + RECORD_BYTES - 4])) != crc:
        return None, 0
    payload = buffer[at + RECORD_BYTES : at + RECORD_BYTES + length]
    return Record(offset, kind, payload, offset + size), size


def durable_claim(segment: Segment, tail: memoryview, offset: int) -> int:
    """How far the journal was durable, by the word of the intact records inside `tail`, which begins at `offset`.

    O(bytes of the tail): the marker finds candidates, the checksum judges them.

    Returns:
        The largest durable end that such a record states, or -1 where there is none.
    """
    claim, at, haystack = -1, 0, bytes(tail)
    while (at := haystack.find(segment.marker, at)) >= 0:
        record, _ = parse_record(segment, tail, at, offset + at)
        if record is not None:
            unsynced = _RECORD.unpack_from(tail, at)[2]
            claim = max(claim, record.offset - unsynced)
        at += 8 if record is None else record.next_offset - record.offset
    return claim


def walk(segment: Segment, start: int, stop: int) -> Iterator[Record]:
    """The intact records from `start` on, in order, until `stop` or the first broken one. Sequential large reads.

    Raises:
        OSError: the file cannot be read.
    """
    with segment.path.open("rb", buffering=0) as file:
        buffer, at, offset = memoryview(b""), 0, start
        while offset < stop:
            record, needed = parse_record(segment, buffer, at, offset)
            if record is not None:
                at += record.next_offset - offset
                offset = record.next_offset
                yield record
                continue
            if needed == 0 or needed > stop - offset:
                return
            wanted = min(max(needed, READ_BYTES), stop - offset)
            buffer, at = memoryview(os.pread(file.fileno(), wanted, segment.position(offset))), 0
            if len(buffer) < needed:
                return
