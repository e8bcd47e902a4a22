"""Admission: whether a shard has room for one more request, in memory and on its disk."""

from __future__ import annotations

import os

from pipeline.config import CanfleetConfig
from pipeline.errors import Overloaded
from pipeline.journal.log import Journal
from pipeline.journal.space import DiskSpace
from pipeline.lanes.lane import Lane, allowance


class Admission:
    """Counts the bytes that are committed and not yet processed, and watches the journal's disk. O(1).

    Two counters, each written by one thread: one that both changed would lose updates between them.
    """

    def __init__(self, name: str, config: CanfleetConfig, journal: Journal) -> None:
        """For the shard called `name` and its `journal`."""
        self._name = name
        self._bound = config.shard.max_unprocessed_bytes
        self._journal = journal
        self._settings = config.journal
        self._space = DiskSpace(journal.directory, config.journal, lambda: journal.size_bytes)
        self._committed_bytes = self._processed_bytes = 0

    @property
    def unprocessed_bytes(self) -> int:
        """What waits to be processed."""
        return self._committed_bytes - self._processed_bytes

    @property
    def room_bytes(self) -> int:
        """What the journal may still grow before live requests are refused, negative where they are. For any thread.

        A disk that does not answer has no room; whoever wants to write to it is told what is wrong.
        """
        try:
            found = os.statvfs(self._journal.directory)
        except OSError:
            return 0
        room = found.f_bavail * found.f_frsize - self._settings.min_free_bytes
        most = self._settings.max_bytes
        return room if most is None else min(room, most - most // 10 - self._journal.size_bytes)

    def check(self, lane: Lane) -> None:
        """Let a request of `lane` go on; asked by one thread.

        Raises:
            Overloaded: there is no room for it; the message says of what.
            JournalError: the disk does not answer.
        """
        if self.unprocessed_bytes > allowance(lane, self._bound):
            raise Overloaded(f"{self._name}: {self.unprocessed_bytes >> 20} MiB wait to be processed", 1.0)
        self._space.check(lane)

    def committed(self, n_bytes: int) -> None:
        """By the committing thread: so much more waits."""
        self._committed_bytes += n_bytes

    def processed(self, n_bytes: int) -> None:
        """By the processing thread: so much less waits."""
        self._processed_bytes += n_bytes
