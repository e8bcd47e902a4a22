"""One append-only file of the spool: a header record, then a record a frame."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.durable import sync_directory
from edge.errors import SpoolError
from edge.frame import Frame
from edge.record import whole_records, wrap

HEADER_ROOM_BYTES: Final = 512
"""No header is longer."""

_NAME: Final = re.compile(r"(\d{10})-(\d{8})\.spool")


def segment_name(session: int, number: int) -> str:
    """The file of a session's segment; names sort as segments were written."""
    return f"{session:010d}-{number:08d}.spool"


def session_of(name: str) -> int | None:
    """The session a file belongs to, or None where `name` is not a segment's."""
    found = _NAME.fullmatch(name)
    return int(found.group(1)) if found else None


def segments_in(directory: Path) -> list[tuple[str, int]]:
    """Names and sizes in bytes of the segments in a folder, from old to new. Raises OSError."""
    return sorted((path.name, path.stat().st_size) for path in directory.iterdir() if session_of(path.name) is not None)


def remove_segment(path: Path) -> None:
    """Remove a segment. Raises SpoolError: it stays."""
    try:
        path.unlink()
    except OSError as error:
        raise SpoolError(f"{path} cannot be removed: {error}: is the file system read-only?") from error


class SegmentWriter:
    """Appends frames to a new segment file. Not for several threads at once."""

    def __init__(self, directory: Path, number: int, session: int, vehicle_id: str) -> None:
        """Create the file. Raises OSError."""
        self.name = segment_name(session, number)
        self._directory = directory
        self._fd = os.open(directory / self.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._unwritten = wrap(json.dumps({"vehicle_id": vehicle_id, "session": session}, ensure_ascii=False).encode())
        self.durable_bytes = 0

    def write(self, frames: Sequence[Frame]) -> tuple[int, int]:
        """Append frames and sync the file.

        Returns:
            The positions where they start and end in the file.

        Raises:
            OSError: the file may hold part of them; close this writer and go on with a new one, since after a failed
                sync nobody knows what the kernel still holds.
        """
        start = self.durable_bytes + len(self._unwritten)
        content = memoryview(self._unwritten + b"".join(wrap(frame.pack()) for frame in frames))
        end = self.durable_bytes + len(content)
        while content:
            content = content[os.write(self._fd, content) :]
        os.fdatasync(self._fd)
        if self._unwritten:
            sync_directory(self._directory)
            self._unwritten = b""
        self.durable_bytes = end
        return start, end

    def close(self) -> None:
        """Close the file. Raises OSError."""
        os.close(self._fd)


@dataclass(frozen=True)
class SegmentContent:
    """What is whole in a segment file.

    Attributes:
        vehicle_id, session: from its header; empty and 0 where not even that is whole.
        ends: where each frame ends in the file.
        start: where the first frame starts.
        torn_bytes: what follows the last whole record.
    """

    vehicle_id: str
    session: int
    ends: list[int]
    start: int
    torn_bytes: int


def read_segment(path: Path) -> SegmentContent:
    """Where the whole frames of a segment are. Raises OSError."""
    content = path.read_bytes()
    records = whole_records(content)
    header = next(records, None)
    if header is None:
        return SegmentContent("", 0, [], 0, len(content))
    named = json.loads(header.payload)
    ends = [record.end for record in records]
    whole = ends[-1] if ends else header.end
    return SegmentContent(str(named["vehicle_id"]), int(named["session"]), ends, header.end, len(content) - whole)


def read_frames(path: Path, start: int, end: int, session: int) -> list[Frame]:
    """The frames between two positions, up to the first that the disk damaged. Raises OSError."""
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(end - start)
    return [Frame.unpack(record.payload, session) for record in whole_records(content)]
