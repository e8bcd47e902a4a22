"""Room on the disk: refuse requests before the journal fills it, the critical ones last."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.errors import JournalError, Overloaded
from pipeline.journal.settings import JournalSettings
from pipeline.lanes.lane import Lane

_LOOK_EVERY_S: Final = 0.25
_RETRY_S: Final = 5.0


class DiskSpace:
    """Watches the file system of one journal, and the journal's own size. For one thread; O(1).

    The file system is asked at most four times a second (statvfs, a microsecond): what is written in between is far
    less than the limits.
    """

    def __init__(
        self,
        directory: Path,
        settings: JournalSettings,
        journal_bytes: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch `directory`; `journal_bytes` tells the journal's size, `clock` seconds that never go back."""
        self._directory = directory
        self._settings = settings
        self._journal_bytes = journal_bytes
        self._clock = clock
        self._free = 0
        self._look_at = float("-inf")

    def check(self, lane: Lane) -> None:
        """Let a request of `lane` go on.

        Raises:
            Overloaded: there is too little room for it; the message names the directory and what to do.
            JournalError: the file system does not answer.
        """
        critical = lane is Lane.CRITICAL
        least = self._settings.critical_free_bytes if critical else self._settings.min_free_bytes
        free = self._free_bytes()
        if free < least:
            raise Overloaded(
                f"the disk of {self._directory} has {free >> 20} MiB left and {lane.name.lower()} requests need "
                f"{least >> 20} MiB: free space on it, or enlarge it; they are taken again by themselves",
                _RETRY_S,
            )
        most = self._settings.max_bytes
        if most is not None and self._journal_bytes() >= (most if critical else most - most // 10):
            raise Overloaded(
                f"the journal {self._directory} has {self._journal_bytes() >> 20} of at most {most >> 20} MiB: it "
                "shrinks when ClickHouse takes what waits; see whether ClickHouse answers, or raise journal.max_bytes",
                _RETRY_S,
            )

    def _free_bytes(self) -> int:
        now = self._clock()
        if now >= self._look_at:
            try:
                found = os.statvfs(self._directory)
            except OSError as error:
                raise JournalError(f"the disk of {self._directory} cannot be asked for its room: {error}") from error
            self._free = found.f_bavail * found.f_frsize
            self._look_at = now + _LOOK_EVERY_S
        return self._free
