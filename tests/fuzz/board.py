"""What a process that tries inputs writes of itself, in memory that outlives it: counters, and the input at hand."""

from __future__ import annotations

import mmap
import struct
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 32 << 20
"""Longest input."""

_LAYOUT: Final = struct.Struct("<QdddQQd?")


@dataclass(slots=True)
class Progress:
    """How far a process is.

    Attributes:
        inputs: how many inputs it has tried.
        began: when it began the one at hand, monotonic seconds; 0 before the first.
        slowest: CPU seconds of the slowest.
        most: megabytes by which one input raised the peak of its memory, at most.
        peak_kb: that peak.
        size: bytes of the input at hand.
        hang_s: seconds after which the input at hand counts as one that never ends.
        contained: whether an input may end the process, see `Target`.
    """

    inputs: int = 0
    began: float = 0.0
    slowest: float = 0.0
    most: float = 0.0
    peak_kb: int = 0
    size: int = 0
    hang_s: float = 0.0
    contained: bool = False


class Board:
    """A file that the process which tries and the one which watches both have in memory."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open it; `create` makes it and clears what an earlier process wrote."""
        if create:
            with path.open("wb") as file:
                file.truncate(_LAYOUT.size + MOST_BYTES)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _LAYOUT.size + MOST_BYTES)

    def close(self) -> None:
        """Let go of it; the file stays."""
        self._memory.close()

    def write(self, progress: Progress, body: bytes | None = None) -> None:
        """Set the counters, and the input where a new one is at hand."""
        if body is not None:
            self._memory[_LAYOUT.size : _LAYOUT.size + len(body)] = body
        _LAYOUT.pack_into(self._memory, 0, *astuple(progress))

    def progress(self) -> Progress:
        """The counters."""
        return Progress(*_LAYOUT.unpack_from(self._memory, 0))

    def body(self) -> bytes:
        """The input at hand."""
        return self._memory[_LAYOUT.size : _LAYOUT.size + self.progress().size]
