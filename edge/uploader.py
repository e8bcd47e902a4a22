"""Sends the spool to the platform: the newest first, for as long as it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

from edge.backoff import Backoff
from edge.delivery import Answer, Delivery, Verdict
from edge.errors import EdgeError
from edge.rejected import Rejected
from edge.run import Batch
from edge.spool import Spool

_LOG: Final = logging.getLogger(__name__)
_LOOK_AGAIN_S: Final = 0.2
_MOST_REJECTED: Final = 10
_GRACE_S: Final = 1.0


@dataclass
class UploadCounts:
    """What became of the frames of the spool.

    Attributes:
        sent: frames that the platform acknowledged; of these it knew `duplicates`, and refused and kept
            `dead_lettered`.
        rejected: frames in the file of rejected ones.
        requests, failures: requests made, and those that were not acknowledged.
    """

    sent: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    rejected: int = 0
    requests: int = 0
    failures: int = 0


class Uploader:
    """A thread between `start` and `stop`; or call `step` yourself.

    Attributes:
        counts: see `UploadCounts`.
    """

    def __init__(
        self,
        spool: Spool,
        delivery: Delivery,
        rejected: Rejected,
        *,
        backoff: Backoff | None = None,
        slow: Backoff | None = None,
        backfill_after_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Send what is in `spool`.

        Args:
            spool: whose batches are taken; nobody else takes any.
            delivery: how they are sent.
            rejected: where frames go that the platform will not read.
            backoff: pauses after what passes by itself: an outage, a busy platform.
            slow: pauses after what a person has to mend: the key, the URL.
            backfill_after_s: a batch whose newest frame is so old goes into the backfill lane.
            clock, wall_clock: seconds that only grow, and seconds since 1970.
        """
        self.counts = UploadCounts()
        self._spool = spool
        self._delivery = delivery
        self._rejected = rejected
        self._backoff = backoff or Backoff()
        self._slow = slow or Backoff(first_s=30.0, longest_s=300.0)
        self._backfill_after_us = round(backfill_after_s * 1e6)
        self._clock = clock
        self._wall_clock = wall_clock
        self._not_before_s = clock()
        self._rejected_in_a_row = 0
        self._trouble: str | None = None
        self._deadline_s: float | None = None
        self._stop = Event()
        self._abandoned = Event()
        self._thread = Thread(target=self._send_until_stopped, name="canfleet-upload", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, drain_s: float = 0.0) -> bool:
        """End the thread, once all is sent, the platform makes it wait too long, or `drain_s` seconds are over.

        Returns:
            Whether the spool is empty. Where it is not, the next start goes on.
        """
        self._deadline_s = time.monotonic() + drain_s
        self._stop.set()
        if self._thread.ident is None:
            self._delivery.close()
        else:
            self._thread.join(drain_s + _GRACE_S)
        # A request that is still under way ends with the process: its batch is in the spool, and may be sent twice.
        self._abandoned.set()
        return not self._thread.is_alive() and self._spool.empty

    def step(self) -> float:
        """Send a batch if one is due; the seconds until the next step is worth it."""
        wait_s = self._not_before_s - self._clock()
        if wait_s > 0:
            return wait_s
        try:
            batch = self._spool.take(at_once=self._stop.is_set())
            if batch is None:
                due_s = self._spool.due_in_s()
                return _LOOK_AGAIN_S if due_s is None else min(due_s, _LOOK_AGAIN_S)
            return self._send(batch)
        except EdgeError as error:
            return self._fail(type(error).__name__, str(error), self._slow.pause_s())

    def _send(self, batch: Batch) -> float:
        newest_us = max(frame.timestamp_us for frame in batch.frames)
        backfill = newest_us < self._wall_clock() * 1e6 - self._backfill_after_us
        self.counts.requests += 1
        try:
            answer = self._delivery.send(batch, backfill=backfill)
        except EdgeError:
            self._spool.give_back(batch)
            raise
        if answer.verdict is Verdict.TAKEN:
            return self._taken(batch, answer)
        self.counts.failures += 1
        if answer.verdict is Verdict.CONTENT_REFUSED and self._rejected_in_a_row < _MOST_REJECTED:
            return self._divide(batch, answer)
        self._spool.give_back(batch)
        match answer.verdict:
            case Verdict.BUSY | Verdict.AWAY:
                pause_s = self._backoff.pause_s(answer.retry_after_s)
                return self._fail("away", f"{answer.detail}: frames wait in the spool", pause_s)
            case Verdict.KEY_REFUSED:
                detail = f"{answer.detail}: give a key with scope ingest; frames wait in the spool"
                return self._fail("key", detail, self._slow.pause_s(answer.retry_after_s))
            case _:
                detail = f"{answer.detail}: is the URL right? Frames wait in the spool"
                return self._fail("answer", detail, self._slow.pause_s(answer.retry_after_s))

    def _taken(self, batch: Batch, answer: Answer) -> float:
        self._spool.sent(batch)
        self.counts.sent += len(batch.frames)
        self.counts.duplicates += answer.duplicates
        self.counts.dead_lettered += answer.dead_lettered
        if answer.dead_lettered:
            _LOG.warning("%d frames became dead letters: see `canfleet dlq list`", answer.dead_lettered)
        if self._trouble is not None:
            _LOG.warning("%s takes frames again", self._delivery.url)
        self._trouble = None
        self._rejected_in_a_row = 0
        self._backoff.reset()
        self._slow.reset()
        return 0.0

    def _divide(self, batch: Batch, answer: Answer) -> float:
        """Look for the frame that the platform will not read, and put it aside.

        A platform that refuses frame after frame and takes none between them is probably none, or a misled proxy; so
        there is an end to putting aside.
        """
        if len(batch.frames) > 1:
            self._spool.split(batch)
            return 0.0
        try:
            self._rejected.keep(batch, answer.detail)
        except EdgeError:
            self._spool.give_back(batch)
            raise
        self._spool.sent(batch)
        self._rejected_in_a_row += 1
        self.counts.rejected += 1
        frame = batch.frames[0]
        _LOG.error("frame %d/%d put aside: %s", frame.session, frame.sequence, answer.detail)
        return 0.0

    def _fail(self, trouble: str, detail: str, pause_s: float) -> float:
        """Wait, and say why, once for each kind of trouble."""
        if self._trouble != trouble:
            _LOG.error("%s", detail)
        self._trouble = trouble
        self._not_before_s = self._clock() + pause_s
        return pause_s

    def _send_until_stopped(self) -> None:
        try:
            while not self._abandoned.is_set():
                wait_s = self.step()
                if self._deadline_s is None:
                    self._stop.wait(wait_s)
                elif self._spool.empty or time.monotonic() + wait_s > self._deadline_s:
                    return
                else:
                    self._abandoned.wait(wait_s)
        finally:
            self._delivery.close()
