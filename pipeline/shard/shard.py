"""A shard: commit, process and store loops over one journal, with their state, its checkpoints and its answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.anomalies.engine import ROW_LAYOUT
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.writer import Writer
from pipeline.config import CanfleetConfig
from pipeline.decode.catalogue import Catalogue
from pipeline.dedup.filter import DuplicateFilter
from pipeline.errors import Fenced, JournalError, WarehouseAway, WarehouseError
from pipeline.journal.log import Journal
from pipeline.journal.tenure import JOURNAL, Tenure
from pipeline.shard.accounts import count_accepted, count_late
from pipeline.shard.admission import Admission
from pipeline.shard.checkpoints import Checkpoints, Snapshot
from pipeline.shard.commit import Committer, Receipt
from pipeline.shard.forgetter import Forgetter
from pipeline.shard.forgetting import Forgetting
from pipeline.shard.group import Group
from pipeline.shard.incoming import Incoming
from pipeline.shard.insert_rows import Processed, anomaly_rows
from pipeline.shard.lags import Lags
from pipeline.shard.ledger import accepted_by_fleet
from pipeline.shard.live_state import LiveState, wall_clock_us
from pipeline.shard.loops import Loops
from pipeline.shard.process import GroupDecoder
from pipeline.shard.recovery import recover, unprocessed
from pipeline.shard.spans import ShardSpans
from pipeline.shard.store import Storer
from pipeline.shard.warm import warm
from pipeline.tracing.tracing import tracing_of

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.02
_STATE_LAYOUT: Final = 3
"""Raised when the arrays of windows, latest values or series in a checkpoint change their meaning."""


def shard_folder(data_dir: Path, number: int) -> Path:
    """The folder of a shard, which holds that of its present tenure: see `pipeline.journal.tenure`."""
    return data_dir / "shards" / str(number)


class Shard(LiveState):
    """One actor's work, without Ray.

    Threads: the caller's calls `commit`; `start` adds one that processes and one that stores. Without `start`, tests
    drive `process_next` and `store_next` themselves.
    """

    def __init__(
        self,
        number: int,
        config: CanfleetConfig,
        catalogue: Catalogue,
        warehouse: Warehouse,
        clock: Callable[[], int] = wall_clock_us,
        tenure: Tenure | None = None,
    ) -> None:
        """Take the shard's folder over (unless by a `tenure` that has begun), and recover what a crash left.

        Raises:
            JournalError: the journal is damaged or on a failing disk.
        """
        super().__init__(config, catalogue, clock)
        self.number = number
        self.name = f"shard-{number}"
        self._config = config
        self._fingerprint = f"{_STATE_LAYOUT}/{ROW_LAYOUT}/{catalogue.fingerprint}/{config.windows.model_dump_json()}"
        self._tenure = tenure or Tenure.begin(shard_folder(config.data_dir, number))
        self._journal = Journal.open(self._tenure.path / JOURNAL, config.journal.segment_bytes, self._tenure.check)
        self.admission = Admission(self.name, config, self._journal)
        journal_lock = threading.Lock()
        self._duplicates = DuplicateFilter(config.duplicates)
        self._committer = Committer(self._journal, journal_lock, self._duplicates, self.vehicles)
        decoder = GroupDecoder(config, catalogue, self.vehicles)
        self._writer = Writer(warehouse)
        self._storer = Storer(
            self.name, self._journal, journal_lock, warehouse, catalogue, self.vehicles, decoder, config.shard
        )
        self._spans = ShardSpans(number, tracing_of(config.tracing))
        self._storer.on_stored = self._spans.stored
        self._forgetter = Forgetter(self.name, self._journal, journal_lock, self, self._storer, warehouse)
        self._checkpoints = Checkpoints(self._tenure, self._journal, config.shard.checkpoint_interval_s, self._snapshot)
        self._lags = Lags(self._journal, self._storer, self._checkpoints, self.admission)
        self.loops = Loops(self)
        self.on_anomaly: Callable[[], None] = lambda: None
        """Called from the processing thread after anomalies changed."""
        warm(config, catalogue)
        self._processed_to = self._recover()
        missing = unprocessed(self._journal, self._processed_to, self._journal.durable_end, self.vehicles)
        self._incoming = Incoming(missing, self._look_at_tenure)

    def _recover(self) -> int:
        """Bring all state back; the offset up to which the checkpoint's has been processed."""
        state = recover(
            self._checkpoints.newest(),
            self._journal,
            self._duplicates,
            self.vehicles,
            self.processor,
            self.anomaly_log,
            self.ledger,
            self.gaps,
            self._fingerprint,
        )
        for warning in state.warnings:
            log.warning("%s: %s", self.name, warning, extra={"shard": self.name})
        self._storer.resume(state)
        self._forgetter.resume(state.forgetting, state.forgotten_to)
        return state.processed_to

    # -- intake -------------------------------------------------------------------------------------------------

    def commit(self, submissions: Sequence[bytes]) -> list[Receipt]:
        """Make submissions durable and queue their frames for processing; one caller at a time, after `admission`.

        Raises:
            JournalError: the disk refused; nothing was accepted.
        """
        group, receipts = self._committer.commit(submissions)
        self.admission.committed(group.n_bytes)
        self._incoming.put(group)
        return receipts

    def forget(self, fleet: str, vehicle_id: str, *, letters_only: bool = False) -> Forgetting:
        """Decide durably to forget a vehicle, by the caller of `commit` and between two of its calls.

        It is done once all that came before is stored in ClickHouse: see `Forgetting`, also for `letters_only`.

        Raises:
            JournalError: the disk refused; the vehicle is as it was.
        """
        forgetting, group = self._forgetter.begin(fleet, vehicle_id, letters_only=letters_only)
        self._incoming.put(group)
        return forgetting

    # -- processing ---------------------------------------------------------------------------------------------

    def process_next(self, *, wait: bool) -> bool:
        """Process one committed group; False when there is none, or when the shard is closing.

        After a restart the groups that the checkpoint lacks come first; what is committed meanwhile waits for them.
        """
        taken = None if self.loops.leaving else self._incoming.take(wait=wait)
        if taken is None:
            return False
        group, recovered = taken
        self._process(group, counted=recovered)
        if not recovered:
            self.admission.processed(group.n_bytes)
        return True

    def _look_at_tenure(self) -> None:
        """While nothing comes: a shard that others have taken over would stay for ever."""
        try:
            self.check_tenure()
        except Fenced:
            raise
        except JournalError as error:
            log.warning("%s: %s", self.name, error, extra={"shard": self.name})

    def _process(self, group: Group, *, counted: bool) -> None:
        """Bring live state to a group's end; `counted`: ledger and gaps know of it already."""
        before, began_ns = self.anomaly_log.cursor, time.time_ns()
        with self.lock:
            now = self._clock()
            values = self.processor.process(group, self.anomaly_log, now)
            if not counted:
                self.ledger.add(group.tallies)
                count_accepted(self.gaps, group)
            self.rate.add(now, accepted_by_fleet(group.tallies))
            self._processed_to = group.end
            changed = self.anomaly_log.cursor != before
        self._storer.waiting.offer(Processed(group, values))
        self._spans.processed(group, began_ns, recovered=counted)
        if changed:
            self.on_anomaly()

    # -- storing ------------------------------------------------------------------------------------------------

    def store_next(self) -> bool:
        """The anomalies that wait, one insert of frames and values, and rollups; False when no frames wait.

        Raises:
            WarehouseError: something was not confirmed; the same is sent again next time.
            JournalError: the disk refused; nothing is lost by trying again.
        """
        with self._storer.asking():
            refused = self._store_anomalies()
            stored = self._storer.store_next()
            if stored is not None:
                with self.lock:
                    self.ledger.add(stored.tallies)
                    count_late(self.gaps, stored.late, self.vehicles, stored.start)
            self._storer.roll_up(idle=stored is None)
            self._forgetter.step(may_save=not self._incoming.recovering, checkpoints=self._checkpoints)
        if refused is not None:
            raise refused
        return stored is not None

    def _store_anomalies(self) -> WarehouseError | None:
        """Insert what waits; a refusal is returned, since frames need not wait for it."""
        with self.lock:
            anomalies = self.anomaly_log.unstored()
        if not anomalies:
            return None
        try:
            self._writer.insert_anomalies(anomaly_rows(anomalies), f"{self.name}/{anomalies[-1].id}/{self._clock()}")
        except WarehouseAway:
            raise
        except WarehouseError as error:
            return error
        with self.lock:
            self.anomaly_log.confirm(anomalies)
        return None

    # -- checkpoints --------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write all state to disk and drop the journal that two checkpoints and ClickHouse no longer need.

        Raises:
            JournalError: the disk refused; the older checkpoints stand.
        """
        while self._incoming.recovering:
            self.process_next(wait=False)
        self._checkpoints.save()

    def _snapshot(self) -> Snapshot | None:
        """Copies of all state; None while a vehicle is being forgotten."""
        with self._forgetter.taking:
            return None if self._forgetter.is_open else self._copied()

    def _copied(self) -> Snapshot:
        """Copies of all state. Processing waits while they are made, acknowledgements do not.

        The duplicate filter and the vehicles come after the rest, so that they are ahead of it and never behind:
        a frame marked twice is still one frame, one not marked would be accepted again.
        """
        with self.lock:
            arrays = self.processor.snapshot()
            arrays |= {f"gaps.{key}": array for key, array in self.gaps.snapshot().items()}
            processed_to = self._processed_to
            meta: dict[str, Any] = {
                "processed_to": processed_to,
                **self._storer.positions(),
                "ledger": self.ledger.snapshot(),
                "anomalies": self.anomaly_log.snapshot(),
                "fingerprint": self._fingerprint,
                "forgotten_to": self._forgetter.forgotten_to,
            }
        with self._committer.state_lock:
            arrays |= {f"duplicates.{key}": array for key, array in self._duplicates.snapshot().items()}
        arrays |= {f"vehicles.{key}": array for key, array in self.vehicles.snapshot().items()}
        return Snapshot(meta, arrays, self._storer.needed_from(processed_to))

    # -- life ---------------------------------------------------------------------------------------------------

    def close(self, *, timeout_s: float = 30.0) -> bool:
        """Process and store what is committed, checkpoint, and release the journal.

        Returns:
            Whether everything reached ClickHouse; what did not is in the journal and goes on at the next start.
        """
        self._incoming.end()
        stored = self.loops.finish(timeout_s) and self._storer.waiting.backlog_bytes == 0
        if not self._incoming.recovering:
            self._checkpoints.save()
        self._journal.close()
        return stored

    def prepare_hand_over(self, *, timeout_s: float) -> None:
        """Have a checkpoint written while work goes on, so that whoever takes the shard over has little to catch up.

        One that is not written within `timeout_s`, or that the disk refuses, costs the next holder time, no more.
        """
        self._checkpoints.want()
        deadline = time.monotonic() + timeout_s
        while self._checkpoints.due and time.monotonic() < deadline:
            time.sleep(_LOOK_S)

    def hand_over(self, *, timeout_s: float) -> None:
        """Stop at once and release the journal, from which the next holder goes on as after a crash.

        After the last `commit`. A group or an insert under way is finished, if that takes no longer than `timeout_s`;
        the next holder sends an insert again whose end is not in the journal.
        """
        self._incoming.end()
        self.loops.leave(timeout_s)
        self._journal.close()

    def gathering_s(self) -> float:
        """How long to gather before the next insert: not at all where a full one waits already."""
        waiting = self._storer.waiting
        full = waiting.cached_values >= self._config.shard.flush_values or waiting.has_backlog
        return 0.0 if full else self._config.shard.flush_interval_s

    def retry_s(self) -> float:
        """How long ClickHouse is better left alone."""
        return self._storer.breaker.wait_s()

    def all_is_stored(self) -> bool:
        """Whether nothing that was committed waits to be processed or stored."""
        return self._incoming.is_empty and not self._storer.waiting.backlog_bytes

    def check_tenure(self) -> None:
        """Return where the shard's folder is this one's still; see `Tenure.check`. For any thread.

        Raises:
            Fenced: somebody else has taken the shard over.
            JournalError: the disk does not say.
        """
        self._tenure.check()

    def save_when_due(self) -> None:
        """Begin a checkpoint if one is due. By the thread that stores, so that ledger and offsets agree."""
        # A snapshot before the restart is made up for would count its frames twice.
        if not self._incoming.recovering:
            self._checkpoints.save_when_due()

    # -- answers ------------------------------------------------------------------------------------------------

    @property
    def store_error(self) -> str | None:
        """Why the last insert failed; None while inserts succeed."""
        return self.loops.problem

    @property
    def rollups_waiting(self) -> bool:
        """Whether values are stored that the rollups do not hold yet."""
        return self._storer.rollups_waiting

    def is_forgetting(self, fleet: str) -> bool:
        """Whether rows of the fleet are being removed because a vehicle of it is forgotten."""
        return self._forgetter.concerns(fleet)

    def status(self) -> dict[str, Any]:
        """How the shard is: lags, errors, sizes."""
        lags = self._lags.as_dict(self._clock())
        with self.lock:
            return lags | {
                "shard": self.number,
                "vehicles": self.vehicles.known,
                "series": len(self.processor.series),
                "unprocessed_bytes": self.admission.unprocessed_bytes,
                "unstored_journal_bytes": self._storer.waiting.backlog_bytes,
                "unstored_anomalies": len(self.anomaly_log.unstored()),
                "journal_bytes": self._journal.size_bytes,
                "journal_end": self._journal.durable_end,
                "recovering": self._incoming.recovering,
                "warehouse_error": self.store_error,
                "checkpoint_error": self._checkpoints.problem,
                "ledger": self.ledger.total().as_dict(),
            }
