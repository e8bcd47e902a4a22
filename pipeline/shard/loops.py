"""The two threads of a shard: one processes what is committed, the other stores what is processed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from pipeline.errors import Fenced, JournalError, WarehouseError
from pipeline.priority import PROCESSING, STORING, give_way

log = logging.getLogger(__name__)

_RETRY_S: Final = 1.0


class Work(Protocol):
    """What the loops do, a step at a time: `pipeline.shard.shard.Shard`."""

    @property
    def name(self) -> str:
        """For the log and the threads' names."""
        ...

    def process_next(self, *, wait: bool) -> bool:
        """Process what comes next; False at the end."""
        ...

    def store_next(self) -> bool:
        """Store what waits; whether it was anything. Raises WarehouseError, JournalError."""
        ...

    def gathering_s(self) -> float:
        """How long to gather before the next insert."""
        ...

    def retry_s(self) -> float:
        """How long ClickHouse is better left alone."""
        ...

    def all_is_stored(self) -> bool:
        """Whether nothing that was committed waits to be processed or stored."""
        ...

    def save_when_due(self) -> None:
        """Begin a checkpoint if one is due."""
        ...


def end_process(error: BaseException) -> None:
    """End the process: a restart recovers from the journal, a shard that half works does not."""
    log.critical("ending the process after %r", error)
    os._exit(70)


class Loops:
    """Threads that begin with `start` and end with `finish` or `leave`.

    Attributes:
        problem: why the last insert failed; None while inserts succeed.
        on_fatal: called where a loop failed for a reason it cannot handle; the shard does no more work after it.
        leaving: whether the loops end as they are, with work left for the next holder of the shard.
    """

    def __init__(self, work: Work) -> None:
        """Loops that do `work`."""
        self._work = work
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.leaving = False
        self.problem: str | None = None
        self.on_fatal: Callable[[BaseException], None] = end_process

    @property
    def stopping(self) -> bool:
        """Whether an end was asked for: then nothing is gathered any more."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin both."""
        for target, role in ((self._process, "process"), (self._store, "store")):
            name = f"{self._work.name}-{role}"
            thread = threading.Thread(target=self._guard, args=(target,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self, timeout_s: float) -> bool:
        """Wait until all is processed and stored; whether both ended in time. The caller has ended `process_next`."""
        self._stopping.set()
        return self._joined(timeout_s)

    def leave(self, timeout_s: float) -> None:
        """Wait until the step under way has ended, if that takes no longer than `timeout_s`."""
        self.leaving = True
        self._stopping.set()
        self._joined(timeout_s)

    def _joined(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _guard(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Exception as error:
            if self.leaving and isinstance(error, JournalError):
                # The journal was released under a step that took too long; the next holder does the step again.
                return
            log.critical("%s failed", threading.current_thread().name, exc_info=error, extra={"shard": self._work.name})
            self.on_fatal(error)

    def _process(self) -> None:
        give_way(PROCESSING)
        while self._work.process_next(wait=True):
            pass

    def _store(self) -> None:
        give_way(STORING)
        work = self._work
        while True:
            stopping = self._stopping.wait(0 if self.stopping else work.gathering_s())
            if self.leaving:
                return
            try:
                stored = work.store_next()
                self.problem = None
            except Fenced:
                raise
            except (WarehouseError, JournalError) as error:
                stored = False
                if self.problem is None:
                    what = "%s: %s; acknowledged frames wait in the journal"
                    log.warning(what, work.name, error, extra={"shard": work.name})
                self.problem = str(error)
                if stopping:
                    return
                self._stopping.wait(max(_RETRY_S, work.retry_s()))
            if stopping and not stored and work.all_is_stored():
                return
            if not stopping:
                work.save_when_due()
