"""Rollups: gather the values of several inserts, then tell ClickHouse's one-minute rollup of them in one."""

from __future__ import annotations

import threading
import time
from typing import Final

import pyarrow as pa

from pipeline.clickhouse.writer import Writer
from pipeline.journal.log import Journal
from pipeline.shard import records
from pipeline.shard.insert_rows import NameColumns, ValueColumns, minute_rows
from pipeline.shard.minutes import Minutes
from pipeline.shard.records import Rollup, note

_SMALL: Final = 50_000
"""Values whose rollup costs so little that it follows their insert at once."""


class Rollups:
    """The second half of storing, with the same promise: announced in the journal, sent under a token, confirmed.

    A large fleet's rollups follow its values by at most `interval_s`; a small fleet's, or those of a shard that has
    nothing else to store, follow at once. One thread.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        lock: threading.Lock,
        writer: Writer,
        names: NameColumns,
        interval_s: float,
    ) -> None:
        self._name = name
        self._journal = journal
        self._lock = lock
        self._writer = writer
        self._names = names
        self._interval_s = interval_s
        self._minutes = Minutes()
        self._announced: tuple[Rollup, pa.RecordBatch] | None = None
        self._last = time.monotonic()
        self.rolled_to = journal.start
        """The rollups hold everything before this offset."""

    def add(self, values: ValueColumns) -> None:
        """Gather values that are stored."""
        self._minutes.add(*values)

    def due(self) -> bool:
        """Whether what is gathered is little, or has waited long enough."""
        return self._minutes.values <= _SMALL or time.monotonic() - self._last >= self._interval_s

    def roll_up(self, stored_to: int) -> None:
        """Send all that is gathered, the values of `[rolled_to, stored_to)`.

        Raises:
            WarehouseError: it was not confirmed; `finish` sends the same again.
        """
        if not self._minutes.values:
            return
        rollup = Rollup(self.rolled_to, stored_to)
        note(self._journal, self._lock, records.ROLLUP, rollup.encode(), durable=True)
        self.reopen(rollup)
        self.finish()

    def reopen(self, rollup: Rollup) -> None:
        """Make all that is gathered the rows of an announced insert."""
        self._announced = rollup, minute_rows(self._minutes.flush(), self._names)

    def finish(self) -> None:
        """Send what was announced and not confirmed, if anything.

        Raises:
            WarehouseError: it was not confirmed; call again.
        """
        if self._announced is None:
            return
        rollup, rows = self._announced
        self._writer.insert_minutes(rows, rollup.token(self._name))
        note(self._journal, self._lock, records.ROLLED_UP, rollup.encode(), durable=False)
        self._announced = None
        self._last = time.monotonic()
        self.rolled_to = rollup.end
