"""A bounded priority queue with ageing: by lane, but nothing waits for ever."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Final, Generic, NamedTuple, TypeVar

from pipeline.errors import Overloaded
from pipeline.lanes.lane import Lane, fits

T = TypeVar("T")

DELAY_S: Final = {Lane.CRITICAL: 0.0, Lane.LIVE: 0.25, Lane.BACKFILL: 5.0}
"""An entry is ranked as if it had come so much later than it did."""


class Entry(NamedTuple, Generic[T]):
    """What waits: its rank in seconds on the queue's clock, then its number, which keeps equal ranks in order."""

    rank: float
    number: int
    lane: Lane
    n_bytes: int
    item: T


class AgeingQueue(Generic[T]):
    """Entries in the order of arrival plus the delay of their lane. For one thread.

    A critical entry goes before every live one that came less than 0.25 s earlier. A live entry that has waited longer
    than that goes before critical ones that come now: whatever arrives, only what came up to one delay after an entry
    can be taken before it. With an empty queue nobody waits: a rank orders, it does not hold back.

    The bytes that wait are bounded; each lane is let in up to its `allowance` of the bound.
    """

    def __init__(self, bound: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold up to `bound` bytes of live entries; `clock` gives seconds and never goes back."""
        self.bound: Final = bound
        self.n_bytes = 0
        self._clock = clock
        self._heap: list[Entry[T]] = []
        self._numbers = count()

    def __len__(self) -> int:
        """How many entries wait."""
        return len(self._heap)

    def push(self, lane: Lane, n_bytes: int, item: T) -> None:
        """Let `item` of `n_bytes` wait. O(log entries).

        Raises:
            Overloaded: there is no room for it in its lane.
        """
        if not fits(lane, self.n_bytes, n_bytes, self.bound):
            raise Overloaded(f"{self.n_bytes >> 20} MiB wait to be made durable, no more {lane.name.lower()} requests")
        self.n_bytes += n_bytes
        heapq.heappush(self._heap, Entry(self._clock() + DELAY_S[lane], next(self._numbers), lane, n_bytes, item))

    def take(self, most_bytes: int) -> list[Entry[T]]:
        """Remove the first entries, `most_bytes` of them or the first one alone. O(log entries) for each.

        Where a critical one is first, only the critical ones behind it come along: what shares its fate would only
        delay it.

        Returns:
            The entries in order; none where nothing waits.
        """
        taken: list[Entry[T]] = []
        size = 0
        while self._heap and (not taken or self._joins(taken[0], self._heap[0], most_bytes - size)):
            taken.append(heapq.heappop(self._heap))
            size += taken[-1].n_bytes
        self.n_bytes -= size
        return taken

    @staticmethod
    def _joins(first: Entry[T], candidate: Entry[T], room: int) -> bool:
        alone = first.lane is Lane.CRITICAL and candidate.lane is not Lane.CRITICAL
        return candidate.n_bytes <= room and not alone
