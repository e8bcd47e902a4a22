"""The durable mark: how far a journal has been synced, kept beside its segments.

It is written after each sync without a sync of its own, which costs a microsecond. It survives the death of the
process; a power cut may leave an older mark, or none, never one that says too much.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Final

from pipeline.durable import sync_directory

NAME: Final = "durable"
_MARK: Final = struct.Struct("<qI")


def _pack(end: int) -> bytes:
    return _MARK.pack(end, zlib.crc32(struct.pack("<q", end)))


def read_mark(directory: Path) -> int | None:
    """The offset before which all was durable; None where the mark is absent or not whole. Raises OSError."""
    try:
        content = (directory / NAME).read_bytes()
    except FileNotFoundError:
        return None
    if len(content) != _MARK.size:
        return None
    end = int(_MARK.unpack(content)[0])
    return end if content == _pack(end) else None


class DurableMark:
    """The mark of one open journal, written in place."""

    def __init__(self, directory: Path, end: int) -> None:
        """Write the mark durably, and keep it open. In place, so that a full disk can be opened. Raises OSError."""
        self._fd = os.open(directory / NAME, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            self.write(end)
            os.fsync(self._fd)
            sync_directory(directory)
        except OSError:
            os.close(self._fd)
            raise

    def write(self, end: int) -> None:
        """Say that all before `end` is durable. Not synced. Raises OSError."""
        os.pwrite(self._fd, _pack(end), 0)

    def close(self) -> None:
        """Make the last mark durable and close the file. Raises OSError."""
        try:
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
