"""Opening a journal's directory: which segments there are, where the log ends, and whether anything is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.durable import TEMPORARY
from pipeline.errors import JournalCorrupt, JournalError
from pipeline.journal.mark import read_mark
from pipeline.journal.segment import (
    HEADER_BYTES,
    SUFFIX,
    Record,
    Segment,
    create_segment,
    durable_claim,
    open_segment,
    walk,
)


@dataclass(frozen=True, slots=True)
class OpenReport:
    """What opening or recovering a journal found.

    Attributes:
        segments: number of segment files.
        records: intact records in the last segment, the one a crash can tear; all of them were checked.
        cut_bytes: bytes of a torn end, never acknowledged, that were found and cut off; 0 after an orderly end.
        end: logical offset at which the journal goes on; all before it is durable.
        mark: the durable mark that was found, None where it was absent or not whole.
    """

    segments: int
    records: int
    cut_bytes: int
    end: int
    mark: int | None


class Opened(NamedTuple):
    """An opened directory: the last segment's descriptor, for writing; all segments in order; the report."""

    fd: int
    segments: tuple[Segment, ...]
    report: OpenReport


def open_directory(directory: Path, confirmed: int) -> Opened:
    """Read a journal's directory, judge and cut the end of its last segment, and open that for writing.

    On return all that is left is durable. O(bytes of the last segment).

    Args:
        directory: exists and is locked.
        confirmed: offset up to which the caller knows the journal to be durable; the mark may know more.

    Raises:
        JournalCorrupt: bytes that were once durable are damaged or missing.
        OSError: the disk fails.
    """
    for leftover in directory.glob(f"*{TEMPORARY}"):
        leftover.unlink()
    mark = read_mark(directory)
    confirmed = max(confirmed, mark or 0)
    segments = tuple(open_segment(path) for path in sorted(directory.glob(f"*{SUFFIX}")))
    if not segments:
        if confirmed:
            raise JournalCorrupt(f"journal {directory}: durable up to {confirmed}, but it has no segment; restore it")
        segments = (create_segment(directory, 0),)
    sizes = [segment.path.stat().st_size - HEADER_BYTES for segment in segments]
    for before, size, after in zip(segments, sizes, segments[1:], strict=False):
        if before.base + size != after.base:
            raise _corrupt(before, before.base + size, f"it ends here, and the next begins at {after.base}")
    last, stop = segments[-1], segments[-1].base + sizes[-1]
    records, end = 0, last.base
    for record in walk(last, last.base, stop):
        records, end = records + 1, record.next_offset
    _judge_end(last, end, stop, confirmed)
    return Opened(_cut(last, end), segments, OpenReport(len(segments), records, stop - end, end, mark))


def _judge_end(last: Segment, end: int, stop: int, confirmed: int) -> None:
    """Raise JournalCorrupt where anything from `end`, the first broken record, on was once durable."""
    if confirmed > end:
        raise _corrupt(last, end, f"no intact record, while all to {confirmed} was confirmed as durable")
    if end < stop:
        with last.path.open("rb") as file:
            file.seek(last.position(end))
            claim = durable_claim(last, memoryview(file.read(stop - end)), end)
        if claim > end:
            raise _corrupt(last, end, f"no intact record, while one behind it says that all to {claim} was durable")


def _cut(last: Segment, end: int) -> int:
    """Cut the last segment at `end`, make it durable, and return a descriptor for writing. Raises OSError."""
    fd = os.open(last.path, os.O_WRONLY)
    try:
        os.ftruncate(fd, last.position(end))
        # A killed process leaves whole records that are in the page cache only.
        os.fsync(fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def read_range(segments: list[tuple[Segment, int]], start: int, stop: int) -> Iterator[Record]:
    """Records from `start` to `stop` out of segments, each with the offset to which its records must be whole.

    Raises:
        JournalCorrupt: a record is damaged; names file and position.
        JournalError: a segment cannot be read.
    """
    offset = start
    for segment, bound in segments:
        if offset >= min(bound, stop):
            continue
        try:
            for record in walk(segment, offset, bound):
                if record.offset >= stop:
                    return
                offset = record.next_offset
                yield record
        except OSError as error:
            raise JournalError(f"{segment.path}: cannot be read at offset {offset}: {error}") from error
        if offset < min(bound, stop):
            raise _corrupt(segment, offset, f"no intact record, while all to {bound} is durable")


def _corrupt(segment: Segment, offset: int, what: str) -> JournalCorrupt:
    return JournalCorrupt(
        f"{segment.path}: damaged at position {segment.position(offset)} (offset {offset}): {what}; "
        "stop, and restore the file from a copy"
    )
