"""The spool: what the vehicle took and the platform has not confirmed, on disk and within a bound.

Frames are written to segment files in the order they came and handed out in batches, the newest first. A segment is
removed once all of it was sent. Where the bound is reached the oldest segment is dropped, sent or not: fresh frames are
worth more than those that have waited longest, and a full spool must not blind the vehicle for the rest of an outage.

What was sent is known in memory alone. After a crash the unsent part of the spool is sent again and with it up to a
segment or two that had been sent: the platform knows them by their numbers.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

from edge.durable import lock_directory, make_directory
from edge.earlier import Earlier, SpoolCounts
from edge.errors import SettingsError, SpoolError
from edge.frame import Frame
from edge.run import Batch, Run
from edge.segment import HEADER_ROOM_BYTES, SegmentWriter, read_frames, remove_segment, session_of
from edge.session import next_session
from edge.unsent import Segment, Unsent

_LOG: Final = logging.getLogger(__name__)
DEFAULT_MAX_BYTES: Final = 256 << 20
SMALLEST_BYTES: Final = 64 << 10
_SEGMENT_BYTES: Final = 256 << 10


class Spool:
    """A folder of segment files; `write` for one thread, the rest for another. Use as a context manager."""

    def __init__(
        self,
        directory: Path,
        vehicle_id: str,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        batch_frames: int = 1000,
        batch_age_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Open a folder, made where it is missing, and begin a session.

        Args:
            directory: the folder; one process at a time has it.
            vehicle_id: whose frames are written, 1–64 characters. Frames that an earlier start wrote for another
                vehicle stay that one's.
            max_bytes: most bytes of all segments together, at least 64 KiB.
            batch_frames: most frames of a batch.
            batch_age_s: the newest frames become a batch after so many seconds, however few they are.
            clock, wall_clock: seconds that only grow, and seconds since 1970.

        Raises:
            SettingsError: the vehicle id or the bound cannot be used.
            SpoolBusy: another process has the folder.
            SpoolError: the folder cannot be used.
        """
        if not 1 <= len(vehicle_id) <= 64:
            raise SettingsError(f"vehicle id {vehicle_id!r}: give 1 to 64 characters")
        if max_bytes < SMALLEST_BYTES:
            raise SettingsError(f"spool of {max_bytes} bytes: give at least {SMALLEST_BYTES}")
        self.directory = directory
        self.vehicle_id = vehicle_id
        self.counts = SpoolCounts()
        self._max_bytes = max_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, max_bytes // 8)
        self._batch_age_s = batch_age_s
        self._clock = clock
        self._lock = Lock()
        self._unsent = Unsent(batch_frames)
        self._writer: SegmentWriter | None = None
        self._segments_made = 0
        self._open: Run | None = None
        self._open_since_s = 0.0
        try:
            make_directory(directory)
            self._held: int | None = lock_directory(directory)
            try:
                self._earlier = Earlier(directory, self._unsent, self.counts)
                newest = session_of(self._earlier.newest or "")
                self.session = next_session(directory, -1 if newest is None else newest, wall_clock())
            except (OSError, SpoolError):
                os.close(self._held)
                raise
        except OSError as error:
            raise SpoolError(f"spool {directory} cannot be opened: {error}: is the folder writable?") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments, what was sent of them included."""
        with self._lock:
            return self._unsent.size_bytes

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be handed out."""
        with self._lock:
            return not (self._unsent.waiting or self._earlier or self._open)

    def write(self, frames: Sequence[Frame]) -> None:
        """Append frames of this session; they are durable when this returns.

        Raises:
            SpoolError: the disk failed or is full; of at most `batch_frames` frames none counts as written then,
                though some may turn up.
        """
        try:
            for first in range(0, len(frames), self._unsent.most_frames):
                self._write(frames[first : first + self._unsent.most_frames])
        except OSError as error:
            with self._lock:
                self._finish_segment()
            raise SpoolError(f"spool {self.directory} cannot be written: {error}: is the disk full?") from error

    def take(self, *, at_once: bool = False) -> Batch | None:
        """The newest batch that is due, or None; `at_once` waits for no more frames to fill it.

        `sent`, `give_back` or `split` must follow. Raises SpoolError: a file that is not needed any more stays.
        """
        while True:
            with self._lock:
                self._cut(at_once=at_once)
                while not self._unsent.waiting and (earlier := self._earlier.newest) is not None:
                    self._load(earlier)
                run = self._unsent.take()
                if run is None:
                    return None
                segment = self._unsent.segments[run.segment]
            frames = self._read(run, segment.session)
            if len(frames) == run.frames:
                return Batch(run, segment.vehicle_id, frames)
            self._set_aside(run)

    def due_in_s(self) -> float | None:
        """Seconds until `take` has a batch; None where nothing waits."""
        with self._lock:
            if self._unsent.waiting or self._earlier:
                return 0.0
            if self._open is None:
                return None
            return max(0.0, self._open_since_s + self._batch_age_s - self._clock())

    def sent(self, batch: Batch) -> None:
        """Forget a batch for good. Raises SpoolError: its file cannot be removed; the next start sends it again."""
        with self._lock:
            if self._unsent.sent(batch.run):
                self._remove(batch.run.segment)

    def give_back(self, batch: Batch) -> None:
        """Let a batch wait again that could not be sent."""
        with self._lock:
            if not self._unsent.give_back(batch.run):
                self.counts.dropped += batch.run.frames

    def split(self, batch: Batch) -> None:
        """Let a batch of at least two frames wait again as two, which are not joined any more."""
        with self._lock:
            if not self._unsent.split(batch.run, batch.halves()):
                self.counts.dropped += batch.run.frames

    def close(self) -> None:
        """Finish the segment under way and let go of the folder. Raises SpoolError: a sent file cannot be removed."""
        with self._lock:
            if self._held is None:
                return
            try:
                self._finish_segment()
            finally:
                os.close(self._held)
                self._held = None

    def _write(self, frames: Sequence[Frame]) -> None:
        with self._lock:
            writer = self._room_for(HEADER_ROOM_BYTES + sum(frame.stored_bytes for frame in frames))
        # The sync takes long, and nobody but this thread touches the writer.
        start, end = writer.write(frames)
        with self._lock:
            self._written(Run(writer.name, start, end, len(frames)))

    def _room_for(self, size_bytes: int) -> SegmentWriter:
        """The segment to write to next, with the bound kept."""
        if self._writer is not None and self._writer.durable_bytes >= self._segment_bytes:
            self._finish_segment()
        while self._unsent.segments and self._unsent.size_bytes + size_bytes > self._max_bytes:
            oldest = self._unsent.oldest()
            if oldest is None:
                self._finish_segment()
            else:
                self._drop(oldest)
        if self._writer is None:
            if self._held is None:
                raise SpoolError(f"spool {self.directory} is closed")
            self._segments_made += 1
            self._writer = SegmentWriter(self.directory, self._segments_made, self.session, self.vehicle_id)
            self._unsent.segments[self._writer.name] = Segment(self.vehicle_id, self.session, 0, growing=True)
        return self._writer

    def _written(self, run: Run) -> None:
        self._unsent.segments[run.segment].size_bytes = run.end
        if self._open is not None:
            joined = self._open.joined(run, self._unsent.most_frames)
            if joined is not None:
                self._open = joined
                return
            self._unsent.add(self._open)
        self._open, self._open_since_s = run, self._clock()

    def _cut(self, *, at_once: bool) -> None:
        """Let the newest frames wait for `take`, if they are many or old enough."""
        if self._open is None:
            return
        due = self._clock() >= self._open_since_s + self._batch_age_s
        if at_once or due or self._open.frames >= self._unsent.most_frames:
            self._unsent.add(self._open)
            self._open = None

    def _finish_segment(self) -> None:
        self._cut(at_once=True)
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        self._unsent.segments[writer.name].growing = False
        try:
            writer.close()
        except OSError as error:
            raise SpoolError(f"{self.directory / writer.name} cannot be closed: {error}") from error
        if self._unsent.is_useless(writer.name):
            self._remove(writer.name)

    def _load(self, name: str) -> None:
        self._earlier.load(name)
        if self._unsent.is_useless(name):
            self._remove(name)

    def _read(self, run: Run, session: int) -> list[Frame]:
        path = self.directory / run.segment
        try:
            return read_frames(path, run.start, run.end, session)
        except FileNotFoundError:
            # It was dropped after it was handed out; `_set_aside` finds that and counts the frames.
            return []
        except OSError as error:
            _LOG.error("%s cannot be read: %s", path, error)
            return []

    def _set_aside(self, run: Run) -> None:
        with self._lock:
            if run.segment not in self._unsent.segments:
                self.counts.dropped += run.frames
                return
            self._unsent.set_aside(run)
            self.counts.unreadable += run.frames
        _LOG.error("%s: %d frames cannot be read: tried again at the next start", run.segment, run.frames)

    def _drop(self, name: str) -> None:
        self._earlier.load(name)
        lost = self._unsent.drop(name)
        self.counts.dropped += lost
        remove_segment(self.directory / name)
        _LOG.warning("spool %s is full: dropped its oldest segment with %d unsent frames", self.directory, lost)

    def _remove(self, name: str) -> None:
        del self._unsent.segments[name]
        remove_segment(self.directory / name)
