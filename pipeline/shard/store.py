"""Store: put processed frames into ClickHouse, once, whatever crashes or is refused in between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.breaker import CircuitBreaker
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.writer import Writer
from pipeline.config import ShardSettings
from pipeline.decode.catalogue import Catalogue
from pipeline.errors import WarehouseAway, WarehouseError
from pipeline.journal.log import Journal
from pipeline.shard import records
from pipeline.shard.accounts import stored_tallies, verified_frames
from pipeline.shard.chunk import Chunk, ChunkReader
from pipeline.shard.insert_rows import (
    NameColumns,
    Processed,
    ValueColumns,
    dead_letter_rows,
    frame_rows,
    kept_rows,
    signal_rows,
    value_columns,
)
from pipeline.shard.late import late_duplicates
from pipeline.shard.process import GroupDecoder
from pipeline.shard.records import Intent, Rollup, Stored, note
from pipeline.shard.recovery import Recovered
from pipeline.shard.refusal import refused_rows
from pipeline.shard.refused_letters import refused_letters
from pipeline.shard.rollups import Rollups
from pipeline.shard.waiting import Waiting
from pipeline.types import I64
from pipeline.vehicles import VehicleIndex

log = logging.getLogger(__name__)


class Storer:
    """The way from a shard to ClickHouse. One thread calls `store_next`; `waiting.offer` may be called from another.

    Each insert is announced in the journal before it is sent: after a crash the same rows go with the same token.
    Rows that ClickHouse refuses for their content go to the dead letters; the announcement is then made anew without
    them, before anything else is sent. Every call to ClickHouse is guarded by `breaker`.
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
        self._reader = ChunkReader(journal, vehicles, decoder)
        self._rollups = Rollups(name, journal, lock, self._writer, self._names, settings.rollup_interval_s)
        self._unrolled: list[Intent] = []
        self._open_rollup: Rollup | None = None
        self._current: Chunk | None = None
        self._began_ns = 0
        self.on_stored: Callable[[Chunk, int], None] = lambda chunk, began_ns: None
        """Told of each chunk that is in ClickHouse, and when it was first sent (ns since the epoch)."""
        self.waiting = Waiting(journal.start, settings, self._reader.read)
        self.breaker = CircuitBreaker()
        self.open_intent: Intent | None = None
        """An insert that was announced and not confirmed."""

    def resume(self, state: Recovered) -> None:
        """Start where the journal says: after recovery, before the first `store_next`."""
        self.waiting.resume(state.stored, state.processed_to)
        self.open_intent = state.open_intent
        self._rollups.rolled = state.rolled
        # The open intent is not among them: its values are gathered when it is confirmed.
        self._unrolled = [intent for intent in state.unrolled if state.stored.covers(intent.start, intent.end)]
        self._open_rollup = state.open_rollup

    def needed_from(self, processed_to: int) -> int:
        """The journal before this offset is stored and rolled up."""
        gap = self._rollups.rolled.first_gap(0, processed_to)
        return min(self.waiting.stored_to, processed_to if gap is None else gap[0])

    def positions(self) -> dict[str, list[tuple[int, int]]]:
        """What is stored and rolled up, for a checkpoint."""
        return {"stored": list(self.waiting.stored), "rolled": list(self._rollups.rolled)}

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around everything that asks ClickHouse: guarded by the breaker.

        Raises:
            WarehouseAway: it did not answer lately, and is not asked for a while.
        """
        if not self.breaker.allows():
            raise WarehouseAway(f"ClickHouse did not answer lately; it is asked again in {self.breaker.wait_s():.1f} s")
        try:
            yield
        except WarehouseAway:
            self.breaker.failed()
            raise
        except BaseException:
            # It answered, or it was not asked: neither is a reason to stop asking.
            self.breaker.succeeded()
            raise
        self.breaker.succeeded()

    @property
    def rollups_waiting(self) -> bool:
        """See `Rollups.waiting`."""
        return self._rollups.waiting or bool(self._unrolled) or self._open_rollup is not None

    def forget_names(self) -> None:
        """A vehicle has lost its name."""
        self._names.forget()

    def store_next(self) -> Stored | None:
        """One insert of frames and their values; what it adds to ledger and sequence gaps, None when nothing waits.

        Raises:
            WarehouseAway: the last insert was not confirmed; call again later, the same one is sent again.
            WarehouseError: ClickHouse refused it, and not for single rows.
            JournalError: the intent could not be made durable; call again later.
        """
        # Before the insert: what fails behind a confirmation would cost the ledger what it counts.
        self._gather_unrolled()
        chunk = self._next_chunk()
        if chunk is None:
            return None
        # After the chunk is taken: another thread may have met its vehicles only now.
        self._names.refresh()
        if chunk is not self._current:
            self._current, self._began_ns = chunk, time.time_ns()
        intent = self.open_intent
        if intent is None:
            late = late_duplicates(self._warehouse, chunk.with_frames, self._names)
            intent = self._announce(Intent(chunk.start, chunk.end, late))
        intent, values = self._insert(chunk, intent)
        stored = self._stored(chunk, intent)
        note(self._journal, self._lock, records.STORED, stored.encode())
        self.open_intent = self._current = None
        self.waiting.confirm(chunk)
        self.on_stored(chunk, self._began_ns)
        self._rollups.add(values, chunk.start, chunk.end)
        return stored

    def _stored(self, chunk: Chunk, intent: Intent) -> Stored:
        late = intent.late_duplicates
        tallies = stored_tallies(chunk, late, intent.refused_frames, self._names)
        return Stored(chunk.start, chunk.end, tallies, verified_frames(chunk.with_frames, late, self._vehicles))

    def roll_up(self, *, idle: bool) -> None:
        """Tell the rollups what is due, or all that is gathered where there is nothing else to store.

        Raises:
            WarehouseError: not all was confirmed; the next call sends it again.
            JournalError: what comes next could not be made durable.
        """
        self._names.refresh()
        if idle:
            self._rollups.finish()
        else:
            self._rollups.step()

    def _next_chunk(self) -> Chunk | None:
        """The insert that failed last time, else the one announced before a restart, else what waits."""
        if self._current is not None:
            return self._current
        if self.open_intent is not None:
            return self._reader.read(self.open_intent.start, self.open_intent.end)
        return self.waiting.next()

    def _announce(self, intent: Intent) -> Intent:
        note(self._journal, self._lock, records.INTENT, intent.encode())
        self.open_intent = intent
        return intent

    def _insert(self, chunk: Chunk, intent: Intent) -> tuple[Intent, ValueColumns | None]:
        """Insert what an intent says of a chunk; what is refused for its content goes to the dead letters.

        Returns:
            The intent as it was carried out, and the values stored.
        """
        letters = dead_letter_rows(chunk.items)
        if letters is not None:
            self._writer.insert_dead_letters(letters, intent.token(self._name), chunk.comment)
        items = chunk.with_frames
        if not items:
            return intent, None
        intent = self._insert_frames(items, intent, chunk.comment)
        intent, values = self._insert_values(items, intent, chunk.comment)
        refused = refused_letters(items, intent, self._names)
        if refused is not None:
            self._writer.insert_dead_letters(refused, f"{intent.value_token(self._name)}/refused", chunk.comment)
        return intent, values

    def _insert_frames(self, items: list[Processed], intent: Intent, comment: str) -> Intent:
        while True:
            kept = kept_rows(items, intent)
            rows = frame_rows(items, kept, self._names)
            insert = partial(self._writer.insert_frames, rows, intent.token(self._name), comment)
            found = self._refused(insert, "frames", rows, intent.refused_frames)
            if found is None:
                return intent
            positions = found if kept is None else np.flatnonzero(kept)[found]
            intent = self._announce(replace(intent, refused_frames=positions))

    def _insert_values(self, items: list[Processed], intent: Intent, comment: str) -> tuple[Intent, ValueColumns]:
        every = value_columns(items, kept_rows(items, intent))
        while True:
            values = every.without(intent.refused_values)
            rows = signal_rows(values, self._names)
            insert = partial(self._writer.insert_signals, rows, intent.value_token(self._name), comment)
            found = self._refused(insert, "signals", rows, intent.refused_values)
            if found is None:
                return intent, values
            intent = self._announce(replace(intent, refused_values=found))

    def _refused(self, insert: Callable[[], None], table: str, rows: pa.RecordBatch, known: I64) -> I64 | None:
        """Insert rows into a table; None where ClickHouse took them, else those of them that it refuses.

        Raises:
            WarehouseError: it refuses them, and not for single rows, or although the `known` ones are left out.
        """
        try:
            insert()
        except WarehouseAway:
            raise
        except WarehouseError as error:
            found = None if len(known) else refused_rows(self._warehouse, table, rows)
            if found is None:
                raise
            what = "%s: %d rows of %s go to the dead letters: %s"
            log.error(what, self._name, len(found), table, error, extra={"shard": self._name})
            return found
        return None

    def _gather_unrolled(self) -> None:
        """After a restart: decode again what was stored and is not rolled up, at most what came in its interval."""
        if self._open_rollup is not None:
            ranges = self._open_rollup.ranges
            self._gather_those(lambda intent: any(start <= intent.start < end for start, end in ranges))
            self._rollups.reopen(self._open_rollup)
            self._open_rollup = None
        self._gather_those(lambda _: True)

    def _gather_those(self, wanted: Callable[[Intent], bool]) -> None:
        for intent in [intent for intent in self._unrolled if wanted(intent)]:
            self._gather(intent)
            self._unrolled = [other for other in self._unrolled if other is not intent]

    def _gather(self, intent: Intent) -> None:
        chunk = self._reader.read(intent.start, intent.end)
        items = chunk.with_frames if chunk is not None else []
        values = value_columns(items, kept_rows(items, intent)).without(intent.refused_values) if items else None
        self._rollups.add(values, intent.start, intent.end)
