"""Rollups: gather the values of several inserts, then tell ClickHouse's one-minute rollup of them in one."""

from __future__ import annotations

import threading
import time
from typing import Final

import numpy as np

from pipeline.clickhouse.writer import Writer
from pipeline.journal.log import Journal
from pipeline.ranges import RangeSet
from pipeline.shard import minutes, records
from pipeline.shard.insert_rows import NameColumns, ValueColumns, minute_rows
from pipeline.shard.minutes import Minutes
from pipeline.shard.records import Rollup, note
from pipeline.types import I64

_SMALL: Final = 50_000
"""Values whose rollup costs so little that it follows their insert at once."""
_SLICE: Final = 64_000
"""Rows of one insert: a large rollup goes in slices between the inserts of frames, and holds none of them up."""


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
        self._announced: tuple[Rollup, I64] | None = None
        self._sent = 0
        self._last = time.monotonic()
        self._gathered = RangeSet()
        self.rolled = RangeSet([(0, journal.start)])
        """Offsets whose values the rollups hold."""

    def add(self, values: ValueColumns | None, start: int, end: int) -> None:
        """Gather the values of offsets `[start, end)`, which are stored; None where there are none."""
        if values is not None:
            self._minutes.add(*values)
        if self._minutes.values:
            self._gathered.add(start, end)
        else:
            # Frames that no database decodes: the rollups have nothing to wait for, nor the journal a reason to grow.
            self.rolled.add(start, end)

    @property
    def waiting(self) -> bool:
        """Whether values are stored that the rollups do not hold yet."""
        return self._announced is not None or self._minutes.values > 0

    def step(self) -> None:
        """After an insert of frames: send a slice of what is announced, or announce what is due.

        Raises:
            WarehouseError: the slice was not confirmed; the next call sends it again.
        """
        if self._announced is None and self._minutes.values and self._due():
            self._announce()
        self._send_slice()

    def finish(self) -> None:
        """With nothing else to store: send all that is gathered.

        Raises:
            WarehouseError: not all was confirmed; call again.
        """
        while self._announced is not None or self._minutes.values:
            if self._announced is None:
                self._announce()
            self._send_slice()

    def reopen(self, rollup: Rollup) -> None:
        """Make all that is gathered the rows of an announced rollup.

        Rows are sorted by series, so that a restart, which meets series in another order, cuts the same slices.
        """
        rows = self._minutes.flush()
        self._gathered = RangeSet()
        self._announced = rollup, rows[np.argsort(rows[:, minutes.KEY], kind="stable")]
        self._sent = 0

    def _due(self) -> bool:
        """Whether what is gathered is little, or has waited long enough."""
        return self._minutes.values <= _SMALL or time.monotonic() - self._last >= self._interval_s

    def _announce(self) -> None:
        rollup = Rollup(tuple(self._gathered))
        note(self._journal, self._lock, records.ROLLUP, rollup.encode())
        self.reopen(rollup)

    def _send_slice(self) -> None:
        if self._announced is None:
            return
        rollup, rows = self._announced
        part = rows[self._sent : self._sent + _SLICE]
        if len(part):
            self._writer.insert_minutes(minute_rows(part, self._names), f"{rollup.token(self._name)}/{self._sent}")
            self._sent += len(part)
        if self._sent == len(rows):
            note(self._journal, self._lock, records.ROLLED_UP, rollup.encode())
            self._announced = None
            self._last = time.monotonic()
            for start, end in rollup.ranges:
                self.rolled.add(start, end)
