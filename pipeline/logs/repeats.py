"""How often one message may be written: pure counting, driven by a clock that is passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

MOST_KINDS: Final = 1000
"""Messages that are told apart; where more come at one time, the ones beyond are one kind together."""


class Kind(NamedTuple):
    """What makes two messages the same: who says it, and how urgently, and its template, without what is filled in."""

    logger: str
    level: int
    template: str


OTHERS: Final = Kind("", 30, "other messages")


@dataclass(slots=True)
class _Interval:
    ends: float
    passed: int = 0
    held: int = 0


class Repeats:
    """Lets at most `most` messages of a kind pass in `interval_s`, which begins with the first; the rest is counted.

    Whatever comes, passed and told together are all. O(1) a message, O(kinds) to tell.
    """

    def __init__(self, most: int, interval_s: float) -> None:
        self._most = most
        self._interval_s = interval_s
        self._intervals: dict[Kind, _Interval] = {}
        self._over: dict[Kind, int] = {}

    def passes(self, kind: Kind, now: float) -> bool:
        """Whether to write a message that comes at `now`; one that is not written is counted."""
        interval = self._intervals.get(kind)
        if interval is None:
            if len(self._intervals) >= MOST_KINDS and kind is not OTHERS:
                self._forget(now)
                if len(self._intervals) >= MOST_KINDS:
                    return self.passes(OTHERS, now)
            interval = self._intervals[kind] = _Interval(now + self._interval_s)
        elif now >= interval.ends:
            self._end(kind, interval)
            interval.ends, interval.passed = now + self._interval_s, 0
        if interval.passed < self._most:
            interval.passed += 1
            return True
        interval.held += 1
        return False

    def tell_at(self) -> float | None:
        """When there is something to tell, minus infinity where there is already; None where nothing was held back."""
        if self._over:
            return -math.inf
        return min((one.ends for one in self._intervals.values() if one.held), default=None)

    def told(self, now: float) -> list[tuple[Kind, int]]:
        """How many of each kind were held back in intervals that are over; each is told once. Infinity tells all."""
        for kind, one in self._intervals.items():
            if now >= one.ends:
                self._end(kind, one)
        over, self._over = self._over, {}
        return list(over.items())

    def _end(self, kind: Kind, interval: _Interval) -> None:
        if interval.held:
            self._over[kind] = self._over.get(kind, 0) + interval.held
            interval.held = 0

    def _forget(self, now: float) -> None:
        """Those that may begin anew, and of which nothing is to tell."""
        kept = {kind: one for kind, one in self._intervals.items() if one.held or now < one.ends}
        self._intervals = kept
