"""What waits for ClickHouse: which part of the journal is stored, and which insert comes next, fresh data first."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from pipeline.config import ShardSettings
from pipeline.ranges import RangeSet
from pipeline.shard.chunk import Chunk, Read
from pipeline.shard.insert_rows import Processed


class Waiting:
    """Processed groups on their way to ClickHouse, named by journal offsets; the decoded ones in memory are a cache.

    Past its bound the cache is dropped and rows are read from the journal and decoded again, so that a long absence of
    ClickHouse costs disk, not memory. What is behind the cache is a backlog: it is stored in the order of the journal,
    and between its inserts, each `flush_interval_s`, goes what is fresh. A fresh group with frames that only the
    warehouse can tell from duplicates waits for the backlog: the answer is exact once all older frames are stored.

    `offer` and the properties may be used from another thread than the rest.
    """

    def __init__(
        self, start: int, settings: ShardSettings, read: Read, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Everything before offset `start` is stored."""
        self._settings = settings
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: deque[Processed] = deque()
        self._cached_from = self._processed_to = start
        self._fresh_at = clock()
        self._cached_bytes = 0
        self.cached_values = 0
        """Decoded values in the cache."""
        self.barrier: int | None = None
        """Nothing that stands behind this offset is stored as long as it is set."""
        self.stored = RangeSet([(0, start)])
        """Offsets whose rows ClickHouse has confirmed."""

    def resume(self, stored: RangeSet, processed_to: int) -> None:
        """After recovery: what is stored, and where processing goes on."""
        self.stored = stored
        self._cached_from = self._processed_to = processed_to

    def offer(self, processed: Processed) -> None:
        """Queue a processed group; O(1)."""
        with self._lock:
            self._cache.append(processed)
            self._processed_to = processed.group.end
            self._cached_bytes += processed.n_bytes
            self.cached_values += len(processed.values.row)
            if self._cached_bytes > self._settings.max_cached_bytes:
                self._cache.clear()
                self._cached_from = self._processed_to
                self._cached_bytes = self.cached_values = 0

    @property
    def stored_to(self) -> int:
        """Everything before this offset is in ClickHouse, and perhaps some of what follows."""
        with self._lock:
            gap = self.stored.first_gap(0, self._processed_to)
        return self._processed_to if gap is None else gap[0]

    @property
    def backlog_bytes(self) -> int:
        """Journal bytes that are processed and not stored."""
        with self._lock:
            return self.stored.missing(0, self._processed_to)

    @property
    def has_backlog(self) -> bool:
        """Whether something must be read back from the journal to be stored."""
        return self._backlog(self._cached_from) is not None

    def next(self) -> Chunk | None:
        """What to insert now; None when nothing waits. Hand what was confirmed to `confirm`.

        Raises:
            JournalError: a backlog cannot be read.
        """
        with self._lock:
            cached_from = self._cached_from
        gap = self._backlog(cached_from)
        if gap is None:
            return self._take(fresh=False)
        if self._clock() - self._fresh_at >= self._settings.flush_interval_s:
            chunk = self._take(fresh=True)
            if chunk is not None:
                return chunk
        return self._read(*gap, self._settings.flush_values)

    def _backlog(self, cached_from: int) -> tuple[int, int] | None:
        """The first range behind the cache that is not stored, as far as it may be."""
        barrier = self.barrier
        return self.stored.first_gap(0, cached_from if barrier is None else min(cached_from, barrier))

    def confirm(self, chunk: Chunk) -> None:
        """ClickHouse has the chunk."""
        with self._lock:
            self.stored.add(chunk.start, chunk.end)

    def _take(self, *, fresh: bool) -> Chunk | None:
        """A chunk from the front of the cache; `fresh`: beside a backlog."""
        items: list[Processed] = []
        values = 0
        with self._lock:
            self._drop_stored(fresh=fresh)
            start = self._cached_from
            while self._cache and values < self._settings.flush_values:
                group = self._cache[0].group
                if (fresh and group.unverified is not None) or self.stored.covers(group.start, group.end):
                    break
                if self.barrier is not None and group.start >= self.barrier:
                    break
                items.append(self._pop())
                values += len(items[-1].values.row)
            end = self._cached_from
        self._fresh_at = self._clock()
        return Chunk(start, end, items) if items else None

    def _drop_stored(self, *, fresh: bool) -> None:
        """Leave away what a restart found stored already and, beside a backlog, what must be stored after it."""
        while self._cache:
            group = self._cache[0].group
            waits = fresh and group.unverified is not None
            if not waits and not self.stored.covers(group.start, group.end):
                return
            self._pop()

    def _pop(self) -> Processed:
        item = self._cache.popleft()
        self._cached_bytes -= item.n_bytes
        self.cached_values -= len(item.values.row)
        self._cached_from = item.group.end
        return item
