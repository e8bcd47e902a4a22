"""Ranges: which parts of a line of journal offsets are done, when not everything is done in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """A set of offsets kept as disjoint ascending ranges `[start, end)`; those that touch are joined.

    A shard that stores in order has one range. While a backlog is stored beside fresh data it has a handful.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """The union of `ranges`."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Add `[start, end)`; nothing where it is empty. O(log n + ranges joined), moving the later ones."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def covers(self, start: int, end: int) -> bool:
        """Whether all of `[start, end)` is in the set. O(log n)."""
        at = bisect_right(self._starts, start) - 1
        return start >= end or (at >= 0 and end <= self._ends[at])

    def first_gap(self, start: int, end: int) -> tuple[int, int] | None:
        """The first part of `[start, end)` that is not in the set; None where there is none. O(log n)."""
        at = bisect_right(self._starts, start) - 1
        if at >= 0 and self._ends[at] > start:
            start = self._ends[at]
        if start >= end:
            return None
        after = self._starts[at + 1] if at + 1 < len(self._starts) else end
        return start, min(after, end)

    def missing(self, start: int, end: int) -> int:
        """How many offsets of `[start, end)` are not in the set. O(n)."""
        inside = (max(0, min(e, end) - max(s, start)) for s, e in self)
        return max(0, end - start) - sum(inside)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges, ascending."""
        return iter(zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        """The number of ranges."""
        return len(self._starts)

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"
