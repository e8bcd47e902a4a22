"""The durable log behind the acknowledgement: append records, sync them together, read them back in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.durable import Bytes, lock_directory, make_directory, sync_directory, write_all
from pipeline.errors import JournalError
from pipeline.journal.mark import DurableMark
from pipeline.journal.opening import Opened, OpenReport, open_directory, read_range
from pipeline.journal.segment import HEADER_BYTES, MAX_PAYLOAD_BYTES, Record, Segment, create_segment, record_views

SEGMENT_BYTES: Final = 64 << 20


class Journal:
    """An append-only log of opaque records in segment files of one directory (format: `pipeline.journal.segment`).

    Records are named by logical byte offsets, which grow for ever; the offset of a durable record is never given to
    another. One writer at a time: calls that write take one lock, `sync` holds it during the disk's work, and rolling
    to a new segment syncs the old one, so call them from a thread that may wait. `read` takes no lock and may run in
    any thread at any time.

    After an OSError from a write or a sync the journal is poisoned: the kernel may have dropped the pages it failed
    to write, so a second sync would lie. Every later `append` and `sync` raises, until `recover` has cut the log back
    to what is durable.
    """

    _mark: DurableMark

    def __init__(self, directory: Path, segment_bytes: int, still_ours: Callable[[], None]) -> None:
        """Not for callers: use `Journal.open`."""
        self.directory = directory
        self._still_ours = still_ours
        self._segment_bytes = segment_bytes
        self._lock = threading.RLock()
        self._segments: tuple[Segment, ...] = ()
        self._fd = -1
        self._end = 0
        self._durable_end = 0
        self._poison: str | None = None
        self._resources = ExitStack()
        self.report = OpenReport(0, 0, 0, 0, None)

    @classmethod
    def open(
        cls, directory: Path, segment_bytes: int = SEGMENT_BYTES, still_ours: Callable[[], None] = lambda: None
    ) -> Self:
        """Open or create the journal in `directory`, cutting off a torn end; see `Journal.report`.

        Checks every record of the last segment, and that the segments before it join without a gap; `read` checks
        the records of those. O(bytes of the last segment).

        Args:
            directory: created where absent; locked until `close` or the end of the process.
            segment_bytes: size at which a segment is closed and the next begun, at most 1 GiB.
            still_ours: called after each sync and before it is confirmed; raises where another has taken over.

        Raises:
            JournalCorrupt: damage before the end, a missing segment, or fewer bytes than were once durable.
            JournalError: another process has it open, or the disk fails.
        """
        if not HEADER_BYTES < segment_bytes <= MAX_PAYLOAD_BYTES:
            raise JournalError(f"journal {directory}: segment_bytes is {segment_bytes}; use up to {MAX_PAYLOAD_BYTES}")
        journal = cls(directory, segment_bytes, still_ours)
        with ExitStack() as undo:
            undo.callback(journal.close)
            try:
                make_directory(directory)
                journal._resources.callback(os.close, lock_directory(directory))
                journal.report = journal._adopt(open_directory(directory, 0))
                journal._mark = DurableMark(directory, journal._end)
                journal._resources.callback(journal._mark.close)
            except OSError as error:
                raise JournalError(f"journal {directory} cannot be opened: {error}; see to its disk") from error
            undo.pop_all()
        return journal

    # -- positions ----------------------------------------------------------------------------------------------

    @property
    def start(self) -> int:
        """Offset of the oldest record that is kept."""
        return self._segments[0].base

    @property
    def end(self) -> int:
        """Offset that the next record gets."""
        return self._end

    @property
    def durable_end(self) -> int:
        """All records before this offset survive a power cut; those from it on may not."""
        return self._durable_end

    @property
    def size_bytes(self) -> int:
        """Bytes of all segment files."""
        segments = self._segments
        return self._end - segments[0].base + HEADER_BYTES * len(segments)

    @property
    def poisoned(self) -> bool:
        """Whether a write or sync failed, and nothing can be written until `recover` succeeds."""
        return self._poison is not None

    # -- writing ------------------------------------------------------------------------------------------------

    def append(self, kind: int, *buffers: Bytes) -> int:
        """Write one record, its payload the buffers joined, without a copy of them. Not durable before `sync`.

        Args:
            kind: the caller's number for what the payload is, 0 to 2³² - 1.
            buffers: contiguous bytes; at most 1 GiB together.

        Returns:
            The record's offset. It is the caller's only once `sync` has returned: where that fails, the record is cut
            off and the next one gets the same offset.

        Raises:
            JournalError: the payload is too large, the disk refused (the records since the last sync are cut off, and
                the journal is poisoned), or the journal is poisoned or closed.
        """
        with self._lock:
            self._check()
            if self._end - self._segments[-1].base >= self._segment_bytes:
                self._roll()
            offset, segment = self._end, self._segments[-1]
            views = record_views(segment, offset, self._durable_end, kind, buffers)
            size = sum(len(view) for view in views)
            if size > MAX_PAYLOAD_BYTES:
                raise JournalError(f"journal {self.directory}: a record of {size} bytes is too large; split it")
            try:
                write_all(self._fd, views, segment.position(offset))
            except OSError as error:
                raise self._poisoned("write", error) from error
            self._end = offset + size
            return offset

    def sync(self) -> int:
        """Make all appended records durable.

        Returns:
            The durable end.

        Raises:
            Fenced: another process has taken over; whether it knows the records since the last sync, nobody can tell.
            JournalError: the disk refused, and the journal is poisoned; or it was already, or it is closed. Whether
                the records since the last sync survived, the end that `recover` returns tells.
        """
        with self._lock:
            self._check()
            if self._end > self._durable_end:
                try:
                    os.fdatasync(self._fd)
                    self._durable_end = self._end
                    self._mark.write(self._end)
                except OSError as error:
                    raise self._poisoned("sync", error) from error
            self._still_ours()
            return self._durable_end

    def recover(self) -> OpenReport:
        """Cut the journal back to its durable end, read the last segment again from the disk, and go on.

        Raises:
            Fenced: another process has taken over.
            JournalCorrupt: the disk does not hold what it had confirmed.
            JournalError: the disk still fails; the journal stays poisoned.
        """
        with self._lock:
            if self._fd < 0:
                self._check()
            self._still_ours()
            self._poison = self._poison or "recovery did not end"
            try:
                os.ftruncate(self._fd, self._segments[-1].position(self._durable_end))
                os.fsync(self._fd)
                # What the cache holds after a failed write need not be what the disk holds.
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
                report = self._adopt(open_directory(self.directory, self._durable_end))
                self._mark.write(self._end)
            except OSError as error:
                raise JournalError(f"journal {self.directory} cannot be recovered: {error}; see to its disk") from error
            self._poison = None
            self.report = report
            return report

    def close_segment(self, end: int) -> None:
        """Let what stands before offset `end` be dropped apart from what comes: begin a segment if its own is the last.

        Raises:
            JournalError: the disk refused, and the journal is poisoned.
        """
        with self._lock:
            self._check()
            if self._segments[-1].base < end:
                self._roll()

    def truncate_before(self, offset: int) -> None:
        """Remove the segments that lie wholly before `offset`; the last one always stays. Durable on return.

        Raises:
            JournalError: a file cannot be removed, or `offset` is not yet durable.
        """
        with self._lock:
            self._check()
            if offset > self._durable_end:
                raise JournalError(
                    f"journal {self.directory}: offset {offset} is beyond the durable end {self._durable_end}"
                )
            keep = self._segments
            try:
                # Oldest first: a crash on the way leaves no gap.
                while len(keep) > 1 and keep[1].base <= offset:
                    keep[0].path.unlink(missing_ok=True)
                    keep = self._segments = keep[1:]
                sync_directory(self.directory)
            except OSError as error:
                raise JournalError(f"journal {self.directory}: cannot remove {keep[0].path}: {error}") from error

    def close(self) -> None:
        """Close the files and give up the lock, without a sync: un-synced records are not promised. Idempotent.

        Raises:
            JournalError: the disk refused the mark's last sync; no record is concerned.
        """
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            try:
                self._resources.close()
            except OSError as error:
                raise JournalError(f"journal {self.directory}: closing failed: {error}; see to its disk") from error

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self, start: int, end: int | None = None) -> Iterator[Record]:
        """The durable records from `start` up to `end`, in order, from any thread, while others append.

        Args:
            start: offset of a record, or the durable end.
            end: stop before this offset; the durable end at the time of the call where None.

        Raises:
            JournalError: at once, where the range is not wholly kept and durable; while iterating, where a segment
                cannot be read.
            JournalCorrupt: while iterating, where a record is damaged; names file and position.
        """
        # In this order: a segment that begins between the two lines lies beyond the durable end that was read.
        durable_end = self._durable_end
        segments = self._segments
        stop = durable_end if end is None else end
        if not segments[0].base <= start <= stop <= durable_end:
            raise JournalError(
                f"journal {self.directory}: cannot read {start} to {stop}, it holds {segments[0].base} to {durable_end}"
            )
        bounds = [min(segment.base, durable_end) for segment in segments[1:]] + [durable_end]
        return read_range(list(zip(segments, bounds, strict=True)), start, stop)

    # -- inside -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """The journal itself; leaving the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the journal."""
        self.close()

    def _check(self) -> None:
        if self._fd < 0:
            raise JournalError(f"journal {self.directory} is closed; open it again")
        if self._poison is not None:
            raise JournalError(f"journal {self.directory} is poisoned ({self._poison}); call recover()")

    def _poisoned(self, what: str, error: OSError) -> JournalError:
        """Poison the journal, cut the un-synced tail (a full disk gets its space back), and say so."""
        last = self._segments[-1]
        self._poison = f"{what} failed at offset {self._end} of {last.path}: {error}"
        self._end = self._durable_end
        message = (
            f"journal {self.directory}: {self._poison}; records from offset {self._durable_end} on are not durable"
        )
        try:
            os.ftruncate(self._fd, last.position(self._durable_end))
        except OSError as again:
            message += f"; cutting them off failed too: {again}"
        return JournalError(message + "; see to the disk and call recover()")

    def _roll(self) -> None:
        """Close the last segment, durably, and begin the next: un-synced bytes only ever lie in the last one."""
        try:
            os.ftruncate(self._fd, self._segments[-1].position(self._end))
            self.sync()
            segment = create_segment(self.directory, self._end)
            fd = os.open(segment.path, os.O_WRONLY)
        except OSError as error:
            raise self._poisoned("beginning a segment", error) from error
        os.close(self._fd)
        self._fd, self._segments = fd, (*self._segments, segment)

    def _adopt(self, found: Opened) -> OpenReport:
        """Go on with what opening the directory found."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._segments = found.fd, found.segments
        self._end = self._durable_end = found.report.end
        return found.report
