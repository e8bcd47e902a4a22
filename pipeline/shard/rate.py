"""Frames per second over the last few seconds, by fleet, for people to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

WINDOW_US: Final = 5_000_000


class Rate:
    """Counts in the last `WINDOW_US` microseconds; memory is one entry a commit group."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, Mapping[str, int]]] = deque()

    def add(self, now_us: int, frames: Mapping[str, int]) -> None:
        """Count frames by fleet at `now_us`."""
        self._counts.append((now_us, frames))
        self._forget(now_us)

    def per_second(self, now_us: int, fleet: str) -> float:
        """Mean rate of a fleet over the window that ends now."""
        self._forget(now_us)
        return sum(frames.get(fleet, 0) for _, frames in self._counts) / (WINDOW_US / 1e6)

    def total_per_second(self, now_us: int) -> float:
        """Mean rate of all fleets together."""
        self._forget(now_us)
        return sum(sum(frames.values()) for _, frames in self._counts) / (WINDOW_US / 1e6)

    def _forget(self, now_us: int) -> None:
        while self._counts and self._counts[0][0] <= now_us - WINDOW_US:
            self._counts.popleft()
