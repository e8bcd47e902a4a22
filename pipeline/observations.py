"""Observations counted by size: what a Prometheus histogram is made of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final


class Observations:
    """Counts since they were last taken, in buckets with upper bounds. O(log buckets) each; the caller locks."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count up to each of `bounds`, which rise, and beyond the last."""
        self._bounds: Final = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    @property
    def labels(self) -> list[str]:
        """The bounds as Prometheus writes them in `le`, the last one `+Inf`."""
        return [*(str(float(bound)) for bound in self._bounds), "+Inf"]

    def add(self, value: float) -> None:
        """Count one. A value that is a bound counts to it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def take(self) -> tuple[list[int], float]:
        """Those up to each bound, the last being all of them, and their sum; begins anew."""
        cumulative, total = list(accumulate(self._counts)), self._sum
        self._counts = [0] * len(self._counts)
        self._sum = 0.0
        return cumulative, total
