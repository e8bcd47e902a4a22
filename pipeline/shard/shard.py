"""A shard: commit, process and store loops over one journal, with their state, its checkpoints and its answers."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.anomalies.engine import ROW_LAYOUT
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.writer import Writer
from pipeline.config import CanfleetConfig
from pipeline.decode.catalogue import Catalogue
from pipeline.dedup.filter import DuplicateFilter
from pipeline.errors import WarehouseAway, WarehouseError
from pipeline.journal import checkpoint
from pipeline.journal.log import Journal
from pipeline.shard import answers
from pipeline.shard.admission import Admission
from pipeline.shard.anomaly_log import Anomaly, AnomalyLog
from pipeline.shard.commit import Committer, Receipt
from pipeline.shard.group import Group
from pipeline.shard.insert_rows import Processed, anomaly_rows
from pipeline.shard.ledger import Ledger
from pipeline.shard.process import GroupDecoder, Processor
from pipeline.shard.rate import Rate
from pipeline.shard.recovery import recover
from pipeline.shard.store import Storer
from pipeline.shard.warm import warm
from pipeline.vehicles import VehicleIndex

log = logging.getLogger(__name__)

_RETRY_S: Final = 1.0
_CHECKPOINT: Final = "shard"
_STATE_LAYOUT: Final = 2
"""Raised when the arrays of windows, latest values or series in a checkpoint change their meaning."""


def wall_clock_us() -> int:
    """Now, in microseconds; the only clock of the shard, used for receipts and never for results."""
    return time.time_ns() // 1000


def _end_process(error: BaseException) -> None:
    """End the process: a restart recovers from the journal, a shard that half works does not."""
    log.critical("ending the process after %r", error)
    os._exit(70)


class Shard:
    """One actor's work, without Ray.

    Threads: the caller's calls `commit`; `start` adds one that processes and one that stores. Without `start`, tests
    drive `process_next` and `store_next` themselves. `lock` guards live state and ledger: a batch holds it for
    milliseconds.
    """

    def __init__(
        self,
        number: int,
        config: CanfleetConfig,
        catalogue: Catalogue,
        warehouse: Warehouse,
        clock: Callable[[], int] = wall_clock_us,
    ) -> None:
        """Open or create the shard's folder, and recover what a crash left.

        Raises:
            JournalError: the journal is in use, damaged or on a failing disk.
        """
        self.number = number
        self.name = f"shard-{number}"
        self._config = config
        self._catalogue = catalogue
        self._clock = clock
        self._fingerprint = f"{_STATE_LAYOUT}/{ROW_LAYOUT}/{catalogue.fingerprint}/{config.windows.model_dump_json()}"
        self._folder: Path = config.data_dir / "shards" / str(number)
        self._journal = Journal.open(self._folder / "journal", config.journal.segment_bytes)
        self.admission = Admission(self.name, config, self._journal)
        journal_lock = threading.Lock()
        self.lock = threading.Lock()
        self.vehicles = VehicleIndex()
        self._duplicates = DuplicateFilter(config.duplicates)
        self.processor = Processor(config, catalogue, self.vehicles)
        self.anomaly_log = AnomalyLog()
        self.ledger = Ledger()
        self.rate = Rate()
        self._committer = Committer(self._journal, journal_lock, self._duplicates, self.vehicles)
        decoder = GroupDecoder(config, catalogue, self.vehicles)
        self._writer = Writer(warehouse)
        self._storer = Storer(
            self.name, self._journal, journal_lock, warehouse, catalogue, self.vehicles, decoder, config.shard
        )
        self._unprocessed: queue.Queue[Group | None] = queue.Queue()
        self._processed_to = self._journal.start
        self._truncate_to = self._journal.start
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._saving: threading.Thread | None = None
        self._prepared = False
        self.warehouse_error: str | None = None
        """Why the last insert failed; None while inserts succeed."""
        self.on_anomaly: Callable[[], None] = lambda: None
        """Called from the processing thread after anomalies changed."""
        self.on_fatal: Callable[[BaseException], None] = _end_process
        """Called from a loop that failed for a reason it cannot handle; the shard does no more work after it."""
        warm(config, catalogue)
        self._recover()

    def _recover(self) -> None:
        state = recover(
            checkpoint.load_latest(self._folder, _CHECKPOINT),
            self._journal,
            self._duplicates,
            self.vehicles,
            self.processor,
            self.anomaly_log,
            self.ledger,
            self._fingerprint,
            self._clock(),
        )
        for warning in state.warnings:
            log.warning("%s: %s", self.name, warning)
        self._processed_to = self._journal.durable_end
        self._storer.resume(state, self._processed_to)

    # -- intake -------------------------------------------------------------------------------------------------

    def commit(self, submissions: Sequence[bytes]) -> list[Receipt]:
        """Make submissions durable and queue their frames for processing; one caller at a time, after `admission`.

        Raises:
            JournalError: the disk refused; nothing was accepted.
        """
        group, receipts = self._committer.commit(submissions)
        self.admission.committed(group.n_bytes)
        self._unprocessed.put(group)
        return receipts

    # -- processing ---------------------------------------------------------------------------------------------

    def process_next(self, *, wait: bool) -> bool:
        """Process one committed group; False when there is none, or when the shard is closing."""
        try:
            group = self._unprocessed.get(block=wait)
        except queue.Empty:
            return False
        if group is None:
            return False
        before = self.anomaly_log.cursor
        with self.lock:
            values = self.processor.process(group, self.anomaly_log, self._clock())
            self.ledger.add(group.tallies)
            self.rate.add(self._clock(), {fleet: tally.accepted for fleet, tally in group.tallies.items()})
            self._processed_to = group.end
            changed = self.anomaly_log.cursor != before
        self.admission.processed(group.n_bytes)
        self._storer.offer(Processed(group, values))
        if changed:
            self.on_anomaly()
        return True

    # -- storing ------------------------------------------------------------------------------------------------

    def store_next(self) -> bool:
        """One insert of frames and values, and the anomalies that wait; False when nothing waits.

        Raises:
            WarehouseError: nothing was confirmed; the same insert is sent again next time.
        """
        with self.lock:
            anomalies = self.anomaly_log.unstored()
        if anomalies:
            self._store_anomalies(anomalies)
        tallies = self._storer.store_next()
        if tallies:
            with self.lock:
                self.ledger.add(tallies)
        return tallies is not None

    def _store_anomalies(self, anomalies: list[Anomaly]) -> None:
        token = f"{self.name}/{anomalies[-1].id}/{self._clock()}"
        self._writer.insert_anomalies(anomaly_rows(anomalies), token)
        with self.lock:
            self.anomaly_log.confirm(anomalies)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write all state to disk and drop the journal that two checkpoints and ClickHouse no longer need.

        Raises:
            JournalError: the disk refused; the older checkpoints stand.
        """
        self._save(*self._snapshot())

    def _snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Copies of all state. Processing waits while they are made, acknowledgements do not.

        The duplicate filter and the vehicles come after the rest, so that they are ahead of it and never behind:
        a frame marked twice is still one frame, one not marked would be accepted again.
        """
        self.processor.prepare_snapshot()
        with self.lock:
            arrays = self.processor.snapshot()
            meta: dict[str, Any] = {
                "processed_to": self._processed_to,
                "stored_to": self._storer.stored_to,
                "rolled_to": self._storer.rolled_to,
                "ledger": self.ledger.snapshot(),
                "anomalies": self.anomaly_log.snapshot(),
                "fingerprint": self._fingerprint,
            }
        with self._committer.state_lock:
            arrays |= {f"duplicates.{key}": array for key, array in self._duplicates.snapshot().items()}
        arrays |= {f"vehicles.{key}": array for key, array in self.vehicles.snapshot().items()}
        return meta, arrays

    def _save(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        checkpoint.save(self._folder, _CHECKPOINT, meta, arrays)
        # The checkpoint before this one may be needed if this one is damaged, so its journal stays one round longer.
        self._journal.truncate_before(self._truncate_to)
        needed = min(meta["processed_to"], meta["stored_to"], meta["rolled_to"])
        self._truncate_to = max(self._truncate_to, needed)

    def _checkpoint_in_background(self) -> bool:
        """One step of a checkpoint that holds up storing only while the state is copied; True once it is being saved.

        The first call has memory made ready beside all other work, a later one copies and leaves the writing to a
        thread. Copying stays with the thread that stores, so that ledger and offsets agree.
        """
        if self._saving is not None and self._saving.is_alive():
            return False
        if not self._prepared:
            self._prepared = True
            self._saving = self._beside(self.processor.prepare_snapshot)
            return False
        self._prepared = False
        meta, arrays = self._snapshot()
        self._saving = self._beside(lambda: self._save(meta, arrays))
        return True

    def _beside(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guard, args=(work,), name=f"{self.name}-checkpoint", daemon=True)
        thread.start()
        return thread

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to process and store in threads of their own."""
        for target, role in ((self._process_loop, "process"), (self._store_loop, "store")):
            thread = threading.Thread(target=self._guard, args=(target,), name=f"{self.name}-{role}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self, *, timeout_s: float = 30.0) -> bool:
        """Process and store what is committed, checkpoint, and release the journal.

        Returns:
            Whether everything reached ClickHouse; what did not is in the journal and goes on at the next start.
        """
        self._stopping.set()
        self._unprocessed.put(None)
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        stored = not self._threads or not any(thread.is_alive() for thread in self._threads)
        stored = stored and self._storer.backlog_bytes == 0
        if self._saving is not None:
            self._saving.join()
        self.checkpoint()
        self._journal.close()
        return stored

    def _guard(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Exception as error:
            log.critical("%s: %s failed", self.name, threading.current_thread().name, exc_info=error)
            self.on_fatal(error)

    def _process_loop(self) -> None:
        while self.process_next(wait=True):
            pass

    def _store_loop(self) -> None:
        next_checkpoint = time.monotonic() + self._config.shard.checkpoint_interval_s
        while True:
            stopping = self._stopping.wait(self._pause())
            try:
                stored = self.store_next()
                self.warehouse_error = None
            except WarehouseError as error:
                stored = False
                if self.warehouse_error is None:
                    log.warning("%s: %s; acknowledged frames wait in the journal", self.name, error)
                self.warehouse_error = str(error)
                if stopping:
                    return
                self._stopping.wait(_RETRY_S if isinstance(error, WarehouseAway) else 5 * _RETRY_S)
            if stopping and not stored and self._unprocessed.empty() and not self._storer.backlog_bytes:
                return
            due = time.monotonic() > next_checkpoint and not stopping
            if due and self._checkpoint_in_background():
                next_checkpoint = time.monotonic() + self._config.shard.checkpoint_interval_s

    def _pause(self) -> float:
        """How long to gather before the next insert: not at all where a full one waits already."""
        full = self._storer.cached_values >= self._config.shard.flush_values
        return 0.0 if full or self._stopping.is_set() else self._config.shard.flush_interval_s

    # -- answers ------------------------------------------------------------------------------------------------

    def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """See `answers.latest_of`."""
        with self.lock:
            return answers.latest_of(self.processor, self.vehicles, self._catalogue, fleet, vehicle_id)

    def vehicle_list(self, fleet: str) -> list[dict[str, Any]]:
        """See `answers.vehicle_list`."""
        with self.lock:
            return answers.vehicle_list(self.processor, self.vehicles, fleet)

    def summary(self, fleet: str) -> dict[str, Any]:
        """The shard's part of the fleet in numbers."""
        now = self._clock()
        with self.lock:
            return {
                "vehicles": len(self.vehicles.indices(fleet)),
                "vehicles_online": answers.online_count(self.processor, self.vehicles, fleet, now),
                "frames_per_second": self.rate.per_second(now, fleet),
                "anomalies": self.anomaly_log.by_kind(fleet),
                "anomalies_open": self.anomaly_log.open_count(fleet),
                "ledger": self.ledger.of(fleet).as_dict(),
            }

    def anomalies(
        self, fleet: str, vehicle_id: str | None, kind: str | None, start: int | None, end: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """Live anomalies of a fleet, newest change first; `start <= timestamp < end`."""

        def matches(anomaly: Anomaly) -> bool:
            return (
                (vehicle_id is None or anomaly.vehicle_id == vehicle_id)
                and (kind is None or anomaly.kind == kind)
                and (start is None or anomaly.timestamp >= start)
                and (end is None or anomaly.timestamp < end)
            )

        with self.lock:
            return [anomaly.as_dict() for anomaly in self.anomaly_log.find(fleet, matches, limit)]

    def anomalies_since(self, cursor: int) -> tuple[int, list[dict[str, Any]]]:
        """Changes after `cursor`, and the newest cursor."""
        with self.lock:
            newest = self.anomaly_log.cursor
            changed = self.anomaly_log.since(cursor)
            return newest, [anomaly.as_dict() for anomaly in changed]

    def status(self) -> dict[str, Any]:
        """How the shard is: lags in frames' bytes, errors, sizes."""
        with self.lock:
            return {
                "shard": self.number,
                "vehicles": len(self.vehicles),
                "series": len(self.processor.series),
                "unprocessed_bytes": self.admission.unprocessed_bytes,
                "unstored_journal_bytes": self._storer.backlog_bytes,
                "unstored_anomalies": len(self.anomaly_log.unstored()),
                "journal_bytes": self._journal.size_bytes,
                "journal_end": self._journal.durable_end,
                "warehouse_error": self.warehouse_error,
                "ledger": self.ledger.total().as_dict(),
            }
