"""What waits to be processed: after a restart what the checkpoint lacks, then what is committed."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Final

from pipeline.shard.group import Group

_IDLE_S: Final = 1.0


class Incoming:
    """Groups in the journal's order. One thread takes them, any puts them in.

    Attributes:
        recovering: whether groups from before the restart are still to come.
    """

    def __init__(self, recovered: Iterator[Group], on_idle: Callable[[], None]) -> None:
        """First those that are recovered, read as they are taken; what is committed meanwhile waits for them.

        `on_idle` is called once a second by the thread that waits while nothing comes.
        """
        self.recovering = True
        self._recovered = recovered
        self._committed: queue.Queue[Group | None] = queue.Queue()
        self._on_idle = on_idle

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits that was committed since the restart."""
        return self._committed.empty()

    def put(self, group: Group) -> None:
        """Add what was committed."""
        self._committed.put(group)

    def end(self) -> None:
        """Have `take` say that nothing comes any more, once all before is taken."""
        self._committed.put(None)

    def take(self, *, wait: bool) -> tuple[Group, bool] | None:
        """The next group, and whether it was recovered; None at the end, or where there is none and `wait` is not set.

        Raises:
            JournalError: what is recovered cannot be read.
        """
        if self.recovering:
            group = next(self._recovered, None)
            if group is not None:
                return group, True
            self.recovering = False
        while True:
            try:
                group = self._committed.get(block=wait, timeout=_IDLE_S)
            except queue.Empty:
                if not wait:
                    return None
                self._on_idle()
            else:
                return None if group is None else (group, False)
