"""Segments that earlier starts left behind: read when it is their turn, so that a start is quick with a full spool."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.run import Run
from edge.segment import SegmentContent, read_segment, segments_in
from edge.unsent import Segment, Unsent

_LOG: Final = logging.getLogger(__name__)


@dataclass
class SpoolCounts:
    """What the spool lost or could not use, since it was opened.

    Attributes:
        dropped: unsent frames that the bound cost.
        unreadable: frames that the disk does not give back; they are tried again at the next start. Of a file that
            cannot be read at all they are not known, and not counted.
        torn_bytes: ends of files that a crash cut; no frame in them had been taken.
    """

    dropped: int = 0
    unreadable: int = 0
    torn_bytes: int = 0


class Earlier:
    """The segments that were there at the start and not looked into yet. Not for several threads at once."""

    def __init__(self, directory: Path, unsent: Unsent, counts: SpoolCounts) -> None:
        """Find them, and make their sizes known to `unsent`. Raises OSError."""
        self._directory = directory
        self._unsent = unsent
        self._counts = counts
        self._names: list[str] = []
        for name, size_bytes in segments_in(directory):
            self._names.append(name)
            unsent.segments[name] = Segment("", 0, size_bytes)

    def __bool__(self) -> bool:
        """Whether any is left."""
        return bool(self._names)

    @property
    def newest(self) -> str | None:
        """The newest one that is left."""
        return self._names[-1] if self._names else None

    def load(self, name: str) -> None:
        """Let the frames of a segment wait, if it is one of these."""
        if name not in self._names:
            return
        self._names.remove(name)
        path = self._directory / name
        try:
            content = read_segment(path)
        except OSError as error:
            _LOG.error("%s cannot be read (%s): it is tried again at the next start", path, error)
            self._unsent.segments[name].unreadable = True
            return
        if content.torn_bytes:
            self._counts.torn_bytes += content.torn_bytes
            _LOG.warning("%s: cut %d bytes behind the last whole frame", path, content.torn_bytes)
        segment = self._unsent.segments[name]
        segment.vehicle_id, segment.session = content.vehicle_id, content.session
        for run in _runs(name, content, self._unsent.most_frames):
            self._unsent.add(run)


def _runs(name: str, content: SegmentContent, most_frames: int) -> list[Run]:
    runs, start = [], content.start
    for first in range(0, len(content.ends), most_frames):
        ends = content.ends[first : first + most_frames]
        runs.append(Run(name, start, ends[-1], len(ends)))
        start = ends[-1]
    return runs
