"""Lags: how far a shard's stages are behind in time, and how near its bounds are; what alarms go by."""

from __future__ import annotations

from typing import Any

from pipeline.errors import JournalError
from pipeline.journal.log import Journal
from pipeline.shard.admission import Admission
from pipeline.shard.checkpoints import Checkpoints
from pipeline.shard.records import SUBMISSION
from pipeline.shard.store import Storer
from pipeline.submission import decode_accepted


class Lags:
    """Looks at the parts of one shard from outside. For any thread, about once a second."""

    def __init__(self, journal: Journal, storer: Storer, checkpoints: Checkpoints, admission: Admission) -> None:
        """Look at these."""
        self._journal = journal
        self._storer = storer
        self._checkpoints = checkpoints
        self._admission = admission
        self._oldest: tuple[int, int | None] = (-1, None)

    def as_dict(self, now_us: int) -> dict[str, Any]:
        """Fields of `Shard.status`, at `now_us` of the clock that tells when frames are received."""
        received_at = self._oldest_received_at()
        return {
            "unstored_age_s": 0.0 if received_at is None else max(0.0, (now_us - received_at) / 1e6),
            "warehouse_breaker": str(self._storer.breaker.state),
            "checkpoint_age_s": self._checkpoints.age_s,
            "journal_room_bytes": self._admission.room_bytes,
        }

    def _oldest_received_at(self) -> int | None:
        """When the oldest frames or dead letters came that ClickHouse lacks; None where it lacks none.

        The journal knows it, after a restart too. One record is read where the oldest is another than the last time.
        """
        start = self._storer.waiting.stored_to
        known, received_at = self._oldest
        if start != known or received_at is None:
            try:
                received_at = self._first_received_at(start)
            except JournalError:
                # A number for people is late then: the loops meet the same disk, and say what is wrong with it.
                return received_at
            self._oldest = start, received_at
        return received_at

    def _first_received_at(self, start: int) -> int | None:
        for record in self._journal.read(start):
            if record.kind == SUBMISSION:
                return decode_accepted(record.payload).submission.received_at
        return None
