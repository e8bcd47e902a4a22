"""Store: put processed frames into ClickHouse, once, in the order of the journal, whatever crashes in between."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.existing import existing_frames
from pipeline.clickhouse.writer import Writer
from pipeline.config import ShardSettings
from pipeline.decode.catalogue import Catalogue
from pipeline.dedup.filter import DuplicateFilter
from pipeline.dedup.settings import DuplicateSettings
from pipeline.journal.log import Journal
from pipeline.shard import records
from pipeline.shard.accounts import stored_tallies, verified_frames
from pipeline.shard.group import build_group, concat_columns
from pipeline.shard.insert_rows import (
    NameColumns,
    Processed,
    dead_letter_rows,
    doubtful_frames,
    frame_rows,
    signal_rows,
    value_columns,
)
from pipeline.shard.process import GroupDecoder
from pipeline.shard.records import Intent, Stored, note
from pipeline.shard.recovery import Recovered
from pipeline.shard.rollups import Rollups
from pipeline.submission import decode_accepted
from pipeline.types import I64, Bools
from pipeline.vehicles import VehicleIndex
from pipeline.verdicts import DUPLICATE

_BACKLOG_RECORD_BYTES = 8 << 20
"""Journal bytes that are read back as one insert; decoded they are about ten times as large."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    start: int
    end: int
    items: list[Processed]


class Storer:
    """The queue from a shard to ClickHouse. One thread calls `store_next`; `offer` may be called from another.

    What waits is named by journal offsets; the decoded rows in memory are only a cache of it. Past its bound the
    cache is dropped and rows are read from the journal and decoded again, so that a long absence of ClickHouse costs
    disk, not memory. Each insert is announced in the journal before it is sent: after a crash the same rows go with
    the same token.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        lock: threading.Lock,
        warehouse: Warehouse,
        catalogue: Catalogue,
        vehicles: VehicleIndex,
        decoder: GroupDecoder,
        settings: ShardSettings,
    ) -> None:
        self._name = name
        self._journal = journal
        self._lock = lock
        self._warehouse = warehouse
        self._writer = Writer(warehouse)
        self._vehicles = vehicles
        self._names = NameColumns(catalogue, vehicles)
        self._decoder = decoder
        self._settings = settings
        self._cache: deque[Processed] = deque()
        self._cache_lock = threading.Lock()
        self._rollups = Rollups(name, journal, lock, self._writer, self._names, settings.rollup_interval_s)
        self._current: _Chunk | None = None
        self._cached_from = journal.start
        self._processed_to = journal.start
        self.cached_bytes = 0
        self.cached_values = 0
        self.stored_to = journal.start
        """Everything before this offset is in ClickHouse."""
        self.open_intent: Intent | None = None
        """An insert that was announced and not confirmed."""

    def resume(self, state: Recovered, processed_to: int) -> None:
        """Start where the journal says: after recovery, before the first `store_next`.

        What the rollups lack is read and decoded again, at most what came in `rollup_interval_s`.
        """
        self.stored_to, self.open_intent = state.stored_to, state.open_intent
        self._cached_from = self._processed_to = processed_to
        self._rollups.rolled_to = state.rolled_to
        self._names.refresh()
        for intent in state.unrolled:
            if intent.end > state.stored_to:
                break
            if state.open_rollup is not None and intent.start >= state.open_rollup.end:
                self._rollups.reopen(state.open_rollup)
                state.open_rollup = None
            chunk = self._read(intent.start, intent.end, None)
            items = [item for item in chunk.items if len(item.group)] if chunk is not None else []
            if items:
                self._rollups.add(value_columns(items, _keep(items, intent)))
        if state.open_rollup is not None:
            self._rollups.reopen(state.open_rollup)

    @property
    def rolled_to(self) -> int:
        """The rollups hold everything before this offset."""
        return self._rollups.rolled_to

    @property
    def rollups_waiting(self) -> bool:
        """See `Rollups.waiting`."""
        return self._rollups.waiting

    def offer(self, processed: Processed) -> None:
        """Queue a processed group; O(1)."""
        with self._cache_lock:
            self._cache.append(processed)
            self._processed_to = processed.group.end
            self.cached_bytes += processed.n_bytes
            self.cached_values += len(processed.values.row)
            if self.cached_bytes > self._settings.max_cached_bytes:
                self._cache.clear()
                self._cached_from = self._processed_to
                self.cached_bytes = self.cached_values = 0

    @property
    def backlog_bytes(self) -> int:
        """Journal bytes that are processed and not stored."""
        return max(0, self._processed_to - self.stored_to)

    def store_next(self) -> Stored | None:
        """One insert; returns what it adds to ledger and sequence gaps, None when nothing waits.

        Raises:
            WarehouseAway: the last insert was not confirmed; call again later, the same one is sent again.
            WarehouseError: ClickHouse refused it.
            JournalError: the intent could not be made durable.
        """
        chunk = self._next_chunk()
        if chunk is None:
            self._rollups.finish(self.stored_to)
            return None
        self._current = chunk
        self._names.refresh()
        self._rollups.step(self.stored_to)
        if self.open_intent is None:
            intent = Intent(chunk.start, chunk.end, self._late_duplicates(chunk))
            self._note(records.INTENT, intent.encode(), durable=True)
            self.open_intent = intent
        stored = self._insert(chunk, self.open_intent)
        # Not synced: if this is lost, the intent is sent again and ClickHouse drops it by its token.
        self._note(records.STORED, stored.encode(), durable=False)
        self.open_intent = self._current = None
        self.stored_to = chunk.end
        return stored

    def _insert(self, chunk: _Chunk, intent: Intent) -> Stored:
        token = intent.token(self._name)
        letters = dead_letter_rows(chunk.items)
        if letters is not None:
            self._writer.insert_dead_letters(letters, token)
        items = [item for item in chunk.items if len(item.group)]
        if not items:
            return Stored(chunk.end, {})
        keep = _keep(items, intent)
        values = value_columns(items, keep)
        self._writer.insert_frames(frame_rows(items, keep, self._names), token)
        self._writer.insert_signals(signal_rows(values, self._names), token)
        stored = self._stored(chunk.end, items, intent.late_duplicates)
        self._rollups.add(values)
        return stored

    def _stored(self, end: int, items: list[Processed], late: I64) -> Stored:
        return Stored(end, stored_tallies(items, late, self._names), verified_frames(items, late, self._vehicles))

    def _late_duplicates(self, chunk: _Chunk) -> I64:
        """int64[k], positions of frames too old for the duplicate filter: stored already, or earlier in `chunk`."""
        items = [item for item in chunk.items if len(item.group)]
        if all(item.group.unverified is None for item in items):
            return np.zeros(0, np.int64)
        rows, fleets, frames = doubtful_frames(items, self._names)
        stored = np.zeros(len(rows), np.bool_)
        for fleet in pc.unique(fleets.cast("string")).to_pylist():
            mine = pc.equal(fleets.cast("string"), fleet)
            stored[mine.to_numpy(zero_copy_only=False)] = existing_frames(self._warehouse, fleet, frames.filter(mine))
        return rows[stored | _repeated(items)[rows]]

    def _note(self, kind: int, payload: bytes, *, durable: bool) -> None:
        note(self._journal, self._lock, kind, payload, durable=durable)

    def _next_chunk(self) -> _Chunk | None:
        """The insert that failed last time, else the one announced before a restart, else what came since."""
        if self._current is not None:
            return self._current
        with self._cache_lock:
            cached_from, processed_to = self._cached_from, self._processed_to
        if self.open_intent is not None:
            return self._read(self.open_intent.start, self.open_intent.end, None)
        if self.stored_to < cached_from:
            return self._read(self.stored_to, cached_from, _BACKLOG_RECORD_BYTES)
        return self._take() if self.stored_to < processed_to else None

    def _take(self) -> _Chunk | None:
        items: list[Processed] = []
        values = 0
        with self._cache_lock:
            while self._cache and values < self._settings.flush_values:
                item = self._cache.popleft()
                items.append(item)
                values += len(item.values.row)
                self.cached_bytes -= item.n_bytes
                self.cached_values -= len(item.values.row)
                self._cached_from = item.group.end
        if not items:
            return None
        return _Chunk(self.stored_to, items[-1].group.end, items)

    def _read(self, start: int, end: int, max_bytes: int | None) -> _Chunk | None:
        items: list[Processed] = []
        reached = start
        for record in self._journal.read(start, end):
            reached = record.next_offset
            if record.kind == records.SUBMISSION:
                accepted = decode_accepted(record.payload)
                group = build_group(record.offset, record.next_offset, [accepted], self._vehicles)
                items.append(Processed(group, self._decoder.decode(group)))
            if max_bytes is not None and reached - start >= max_bytes:
                break
        if reached == start:
            return None
        return _Chunk(start, reached, items)


def _keep(items: list[Processed], intent: Intent) -> Bools | None:
    """bool[n] over the frames of `items`, False for the intent's late duplicates; None where there are none."""
    if not len(intent.late_duplicates):
        return None
    keep = np.ones(sum(len(item.group) for item in items), np.bool_)
    keep[intent.late_duplicates] = False
    return keep


def _repeated(items: list[Processed]) -> Bools:
    """bool[n] over the frames of `items`: whether an earlier one of them has the same identity."""
    frames = concat_columns([item.group.frames for item in items])
    return DuplicateFilter(DuplicateSettings(content_entries=0)).check(frames.vehicle, frames) == DUPLICATE
