"""A latency histogram with fixed relative precision, after HdrHistogram (Tene): any count, constant memory."""

from __future__ import annotations

import math

import numpy as np

_GROWTH = math.log(1.02)
_BUCKETS = 1_200


class LatencyHistogram:
    """Counts by logarithmic buckets of 2 % from 1 µs up to six hours."""

    def __init__(self) -> None:
        """Start empty."""
        self._counts = np.zeros(_BUCKETS, np.int64)
        self.largest_s = 0.0

    def record(self, seconds: float, count: int = 1) -> None:
        """Add `count` observations. O(1)."""
        bucket = int(math.log(max(seconds * 1e6, 1.0)) / _GROWTH)
        self._counts[min(bucket, _BUCKETS - 1)] += count
        self.largest_s = max(self.largest_s, seconds)

    def quantile(self, share: float) -> float:
        """The latency in seconds that `share` of the observations do not exceed, 2 % too high at most; 0 if empty."""
        total = int(self._counts.sum())
        if total == 0:
            return 0.0
        rank = max(1, math.ceil(share * total))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        return min(math.exp((bucket + 1) * _GROWTH) * 1e-6, self.largest_s)

    def summary_ms(self) -> dict[str, float]:
        """p50, p90, p99 and max in milliseconds."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
        quantiles = {name: round(self.quantile(share) * 1e3, 3) for name, share in shares.items()}
        return quantiles | {"max": round(self.largest_s * 1e3, 3)}
