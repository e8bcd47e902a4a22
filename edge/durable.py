"""Making files and their names durable, and keeping a folder to one process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from edge.errors import SpoolBusy


def sync_directory(directory: Path) -> None:
    """Make the names inside `directory` durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(directory: Path) -> None:
    """Create `directory` and its parents, each name durable. Raises OSError."""
    if directory.is_dir():
        return
    make_directory(directory.absolute().parent)
    directory.mkdir(exist_ok=True)
    sync_directory(directory.absolute().parent)


def replace_file(path: Path, content: bytes) -> None:
    """Create or replace `path`, durable: a crash leaves the old file or the whole new one. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def lock_directory(directory: Path) -> int:
    """Take the exclusive lock of a folder until the returned descriptor is closed or the process ends.

    Raises:
        SpoolBusy: another process, or another spool of this one, holds it.
        OSError: the lock file cannot be opened.
    """
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise SpoolBusy(
            f"spool {directory} is already open (process {holder}): stop that one, or use another folder"
        ) from error
    # Always as long, in place: a full disk must not keep the spool on it from being opened.
    os.pwrite(fd, f"{os.getpid():<31}\n".encode(), 0)
    return fd
