"""Forgetting a vehicle: from the record in the journal that decides it to the last byte that a shard holds of it.

The record divides time: what stands before it in the journal is the vehicle that goes, what comes behind it under the
same id is a new vehicle. So that nothing of the old one is met again, all that stands before the record is stored in
ClickHouse first, which is held back from what comes behind; then the rows are deleted and the state is wiped; then two
checkpoints take the place of those there were, and the journal before the record is dropped. No checkpoint is written
in between: after a crash on the way the record is read again, and all is done again from there.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.forget import VehicleRows
from pipeline.errors import JournalError
from pipeline.journal.log import Journal
from pipeline.shard import records
from pipeline.shard.checkpoints import Checkpoints
from pipeline.shard.forgetting import Forgetting
from pipeline.shard.group import Group, build_group
from pipeline.shard.ledger import HOUR_US, Tallies, Tally, tally_of
from pipeline.shard.live_state import LiveState
from pipeline.shard.records import Forget, Forgotten, note
from pipeline.shard.store import Storer

_log: Final = logging.getLogger(__name__)


class Forgetter:
    """The vehicles that a shard is forgetting. `begin` in the thread that commits, `step` in the one that stores.

    Attributes:
        taking: held while state is copied for a checkpoint, and while a vehicle loses its name.
        forgotten_to: the vehicles of all such records before this offset are erased.
    """

    def __init__(
        self, name: str, journal: Journal, lock: threading.Lock, live: LiveState, storer: Storer, warehouse: Warehouse
    ) -> None:
        self._name = name
        self._journal = journal
        self._lock = lock
        self._live = live
        self._storer = storer
        self._rows = VehicleRows(warehouse, name)
        self._forgetting: list[Forgetting] = []
        self.taking = threading.Lock()
        self.forgotten_to = 0

    def resume(self, forgetting: list[Forgetting], forgotten_to: int) -> None:
        """Go on after a restart with what the journal says is not done."""
        self._forgetting = list(forgetting)
        self.forgotten_to = forgotten_to
        if self._journal.start < forgotten_to:
            # Erased, and then something ended the process before the disk was rid of it.
            self._forgetting.insert(0, Forgetting("", "", True, None, forgotten_to, counted=True, erased=True))
        self._hold_back()

    @property
    def is_open(self) -> bool:
        """Whether the state knows a vehicle both as forgotten and as not: then it must not be written down."""
        return any(not one.erased for one in self._forgetting)

    def concerns(self, fleet: str) -> bool:
        """Whether rows of the fleet are being removed."""
        return any(one.fleet == fleet for one in list(self._forgetting))

    def begin(self, fleet: str, vehicle_id: str, *, letters_only: bool) -> tuple[Forgetting, Group]:
        """Decide it, durably, between two commits. The group, without frames, is to be processed like any other.

        Raises:
            JournalError: the disk refused; the vehicle is as it was.
        """
        with self.taking:
            start, end = self._write(Forget(fleet, vehicle_id, letters_only))
            index = self._live.vehicles.forget(fleet, vehicle_id, end)
            one = Forgetting(fleet, vehicle_id, letters_only, index, end, counted=letters_only)
            self._forgetting = [*self._forgetting, one]
            self._hold_back()
        return one, build_group(start, end, [], self._live.vehicles)

    def step(self, *, may_save: bool, checkpoints: Checkpoints) -> None:
        """Do what can be done now: erase what is stored to the last row, then drop what the disk holds of it.

        Raises:
            WarehouseError: rows could not be deleted; the next call goes on.
            JournalError: the disk refused; likewise.
        """
        for one in list(self._forgetting):
            if not one.erased:
                if self._storer.needed_from(one.end) < one.end:
                    return
                self._erase(one)
        erased = [one for one in self._forgetting if one.erased]
        if erased and may_save:
            self._drop(erased, checkpoints)

    def _erase(self, one: Forgetting) -> None:
        live = self._live
        with live.lock:
            one.add({"live_anomalies": live.anomaly_log.forget(one.fleet, one.vehicle_id)})
        if not one.counted:
            # Before they go, and kept with the ledger: what was stored and is there no more must be told from a loss.
            tallies = self._tallies(one)
            note(self._journal, self._lock, records.FORGOTTEN, Forgotten(one.end, tallies).encode())
            with live.lock:
                live.ledger.add(tallies)
            one.counted = True
        if not one.letters_only:
            for table, count in self._rows.delete(one.fleet, one.vehicle_id):
                one.add({table: count})
        one.add({"dead_letters": self._rows.delete_letters(one.fleet, one.vehicle_id)})
        self._rows.rewrite()
        known = one.index is not None
        signals = sessions = 0
        if one.index is not None:
            with live.lock:
                signals, sessions = live.processor.forget(one.index), live.gaps.forget(one.index)
            live.vehicles.erase(one.index)
            self._storer.forget_names()
        one.add({"live_vehicles": int(known), "live_signals": signals, "live_sessions": sessions})
        with self.taking:
            one.erased = True
            self.forgotten_to = one.end
            self._hold_back()

    def _drop(self, erased: list[Forgetting], checkpoints: Checkpoints) -> None:
        """Replace both checkpoints, and drop the journal before the last of these records."""
        end = max(one.end for one in erased)
        with self._lock:
            self._close_segment(end)
        before = self._journal.start
        # The older of two is kept beside the newest, so two must be written.
        if not (checkpoints.save() and checkpoints.save()) or self._journal.start < end:
            return
        dropped = self._journal.start - before
        for one in erased:
            one.add({"journal_bytes": dropped})
        with self.taking:
            self._forgetting = [one for one in self._forgetting if one not in erased]
        for one in erased:
            counts = ", ".join(f"{place} {count}" for place, count in one.removed.items())
            _log.info("%s forgot a vehicle: %s", self._name, counts, extra={"shard": self._name})
            # A caller that asked again while the first request went on learns what both removed.
            for other in self._forgetting:
                if (other.fleet, other.vehicle_id) == (one.fleet, one.vehicle_id):
                    other.add(one.removed)
            one.done.set_result(one.removed)

    def _tallies(self, one: Forgetting) -> Tallies:
        tallies: Tallies = {}
        for hour, count in self._rows.frames_by_hour(one.fleet, one.vehicle_id).items():
            tally_of(tallies, one.fleet, hour * HOUR_US).add(Tally(forgotten=count))
        return tallies

    def _write(self, record: Forget) -> tuple[int, int]:
        with self._lock:
            if self._journal.poisoned:
                self._journal.recover()
            start = self._journal.end
            try:
                self._journal.append(records.FORGET, record.encode())
                end = self._journal.sync()
            except JournalError:
                self._journal.recover()
                raise
            try:
                self._close_segment(end)
            except JournalError as error:
                # It is durable, so it counts; `_drop` closes the segment when the disk is well again.
                _log.warning("%s: %s", self._name, error, extra={"shard": self._name})
        return start, end

    def _close_segment(self, end: int) -> None:
        """See that the record before `end` stands in a segment that can be dropped. Under the journal's lock."""
        try:
            self._journal.close_segment(end)
        except JournalError:
            self._journal.recover()
            raise

    def _hold_back(self) -> None:
        """Store nothing that stands behind the first record whose vehicle is not erased."""
        self._storer.waiting.barrier = min((one.end for one in self._forgetting if not one.erased), default=None)
