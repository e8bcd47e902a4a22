"""Checkpoints of a shard: state is copied while processing waits a moment, and written beside all work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.errors import JournalError
from pipeline.journal import checkpoint
from pipeline.journal.checkpoint import Checkpoint
from pipeline.journal.log import Journal
from pipeline.journal.tenure import Tenure

log = logging.getLogger(__name__)

_NAME: Final = "shard"


class Snapshot(NamedTuple):
    """Copies of all state, and the offset from which the journal is needed beside it."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]
    needed_from: int


class Checkpoints:
    """Writes a shard's checkpoints, and drops the journal that two of them and ClickHouse no longer need.

    A disk that refuses costs no more than a longer replay: the older checkpoints stand, and the next one is due after
    the same interval.
    """

    def __init__(
        self, tenure: Tenure, journal: Journal, interval_s: float, take: Callable[[], Snapshot | None]
    ) -> None:
        """Keep checkpoints in the folder of `tenure`; `take` gives the state, or None where it must not be written."""
        self._tenure = tenure
        self._journal = journal
        self._interval_s = interval_s
        self._take = take
        self._truncate_to = journal.start
        self._writing: threading.Thread | None = None
        self._due_at = time.monotonic() + interval_s
        self._written_at = time.monotonic()
        self.problem: str | None = None
        """Why the last checkpoint could not be written; None while they can."""

    @property
    def age_s(self) -> float:
        """Seconds since the newest one was written, or since the start where none was yet."""
        return time.monotonic() - self._written_at

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint. Raises JournalCorrupt where there are some and none is whole."""
        return checkpoint.load_latest(self._tenure.path, _NAME)

    def save(self) -> bool:
        """Write one now; False where the state must not be written at present.

        Raises:
            JournalError: the disk refused; the older checkpoints stand.
        """
        self.finish()
        snapshot = self._take()
        if snapshot is None:
            return False
        self._write(snapshot)
        return True

    def save_when_due(self) -> None:
        """Copy the state if a checkpoint is due, and leave the writing to a thread.

        Called by the thread that stores, so that ledger and offsets agree.
        """
        if time.monotonic() < self._due_at or (self._writing is not None and self._writing.is_alive()):
            return
        snapshot = self._take()
        if snapshot is None:
            return
        self._due_at = time.monotonic() + self._interval_s
        self._writing = threading.Thread(target=self._try_write, args=(snapshot,), name="checkpoint", daemon=True)
        self._writing.start()

    def want(self) -> None:
        """Have one written as soon as the thread that stores comes by."""
        self._due_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether one should be written, or is being written."""
        return time.monotonic() >= self._due_at or (self._writing is not None and self._writing.is_alive())

    def finish(self) -> None:
        """Wait for the one that is being written."""
        if self._writing is not None:
            self._writing.join()

    def _try_write(self, snapshot: Snapshot) -> None:
        try:
            self._write(snapshot)
        except JournalError as error:
            self.problem = str(error)
            log.warning("no checkpoint was written: %s", error)
        else:
            self.problem = None

    def _write(self, snapshot: Snapshot) -> None:
        self._tenure.check()
        checkpoint.save(self._tenure.path, _NAME, snapshot.meta, snapshot.arrays)
        self._written_at = time.monotonic()
        # The checkpoint before this one may be needed if this one is damaged, so its journal stays one round longer.
        self._journal.truncate_before(self._truncate_to)
        self._truncate_to = max(self._truncate_to, snapshot.needed_from)
