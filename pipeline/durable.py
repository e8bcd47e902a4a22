"""Making file names durable: a created, renamed or removed file survives a power cut once its directory is synced."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from pipeline.errors import JournalError

Bytes: TypeAlias = bytes | bytearray | memoryview | pa.Buffer
"""Anything contiguous that offers its bytes without a copy."""

TEMPORARY: Final = ".new"
"""Suffix of a file that is not yet whole; whoever opens the directory removes what a crash left."""

_IOV_MAX: Final = 1024
_PIECE_BYTES: Final = 8 << 20


def sync_directory(directory: Path) -> None:
    """Make the names inside `directory` durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, views: Sequence[memoryview], position: int) -> None:
    """Gather-write byte views wholly at a file position, however the kernel splits them.

    Raises:
        OSError: part of the bytes may be written.
    """
    pending = [view for view in views if len(view)]
    while pending:
        written = os.pwritev(fd, pending[:_IOV_MAX], position)
        position += written
        done = 0
        while done < len(pending) and written >= len(pending[done]):
            written -= len(pending[done])
            done += 1
        pending = pending[done:]
        if written:
            pending[0] = pending[0][written:]


def create_file(path: Path, views: Sequence[memoryview]) -> None:
    """Create or replace `path` so that a crash leaves the old file, or the whole new one, never a part.

    Large files are synced piece by piece: a sync of hundreds of megabytes at once would hold up every other file's.

    Raises:
        OSError: nothing under `path` changed, and no temporary file is left where it could be removed.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        try:
            position = 0
            for piece in _pieces(views):
                write_all(fd, [piece], position)
                position += len(piece)
                if position % _PIECE_BYTES < len(piece):
                    os.fdatasync(fd)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _pieces(views: Sequence[memoryview]) -> Iterator[memoryview]:
    for view in views:
        for start in range(0, len(view), _PIECE_BYTES):
            yield view[start : start + _PIECE_BYTES]


def make_directory(directory: Path) -> None:
    """Create `directory` and its parents, each name durable. Raises OSError."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    sync_directory(directory.parent)


def lock_directory(directory: Path) -> int:
    """Take the exclusive lock of a directory until the returned descriptor is closed or the process ends.

    Raises:
        JournalError: another process, or another journal object of this one, holds it.
        OSError: the lock file cannot be opened.
    """
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise JournalError(
            f"journal {directory} is already open (process {holder}); stop that one, or use another directory"
        ) from error
    # Always as long, in place: a full disk must not keep the journal on it from being opened.
    os.pwrite(fd, f"{os.getpid():<31}\n".encode(), 0)
    return fd
