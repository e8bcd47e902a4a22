"""A bounded priority queue with ageing: by lane, but nothing waits for ever."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from pipeline.errors import Overloaded
from pipeline.lanes.lane import Lane, fits

T = TypeVar("T")

DELAY_S: Final = {Lane.CRITICAL: 0.0, Lane.LIVE: 2.0, Lane.BACKFILL: 10.0}
"""An entry is ranked as if it had come so much later than it did."""
LONGEST_WAIT_S: Final = {Lane.CRITICAL: 5.0, Lane.LIVE: 1.0, Lane.BACKFILL: 3.0}
"""While the first entry of a lane has waited so long, the lane takes no more: a refusal at once is worth more."""


class Entry(NamedTuple, Generic[T]):
    """What waits."""

    lane: Lane
    arrival: float
    n_bytes: int
    item: T

    @property
    def rank(self) -> tuple[float, Lane]:
        """Least first: when it counts as having come, in seconds on the queue's clock; the more urgent of equals."""
        return self.arrival + DELAY_S[self.lane], self.lane


class AgeingQueue(Generic[T]):
    """Entries in the order of arrival plus the delay of their lane. For one thread.

    A critical entry goes before every live one that came less than 2 s earlier. A live entry that has waited longer
    than that goes before critical ones that come now: whatever arrives, only what came up to one delay after an entry
    can be taken before it. With an empty queue nobody waits: a rank orders, it does not hold back.

    Inside a lane, order of arrival and order of rank are the same. So each lane is a plain FIFO, and the first entry of
    all is the least of three: every operation is O(1) an entry.

    What waits is bounded: in bytes, where each lane is let in up to its `allowance`, and in time.
    """

    def __init__(self, bound: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold up to `bound` bytes of live entries; `clock` gives seconds and never goes back."""
        self.bound: Final = bound
        self.n_bytes = 0
        self._clock = clock
        self._lanes: Final[dict[Lane, deque[Entry[T]]]] = {lane: deque() for lane in Lane}

    def __len__(self) -> int:
        """How many entries wait."""
        return sum(map(len, self._lanes.values()))

    def push(self, lane: Lane, n_bytes: int, item: T) -> None:
        """Let `item` of `n_bytes` wait.

        Raises:
            Overloaded: its lane has no room for it, or waits too long already.
        """
        now, waiting = self._clock(), self._lanes[lane]
        waited = now - waiting[0].arrival if waiting else 0.0
        if waited > LONGEST_WAIT_S[lane] or not fits(lane, self.n_bytes, n_bytes, self.bound):
            raise Overloaded(
                f"{len(waiting)} {lane.name.lower()} requests wait to be made durable, the first for {waited:.1f} s; "
                f"{self.n_bytes >> 10} KiB wait in all"
            )
        self.n_bytes += n_bytes
        waiting.append(Entry(lane, now, n_bytes, item))

    def take(self, most_bytes: int) -> list[Entry[T]]:
        """Remove the first entries, `most_bytes` of them or the first one alone.

        Where a critical one is first, only the critical ones behind it come along: what shares its fate would only
        delay it.

        Returns:
            The entries in order; none where nothing waits.
        """
        taken: list[Entry[T]] = []
        size = 0
        while (first := self._first()) is not None:
            alone = taken and taken[0].lane is Lane.CRITICAL and first.lane is not Lane.CRITICAL
            if taken and (alone or size + first.n_bytes > most_bytes):
                break
            taken.append(self._lanes[first.lane].popleft())
            size += first.n_bytes
        self.n_bytes -= size
        return taken

    def _first(self) -> Entry[T] | None:
        return min((lane[0] for lane in self._lanes.values() if lane), key=lambda entry: entry.rank, default=None)
