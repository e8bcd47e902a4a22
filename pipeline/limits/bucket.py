"""A token bucket with several windows at once, which knows no clock."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.limits.window import Window


class Bucket:
    """One token bucket for each window; what is taken is taken from all of them, or from none.

    A bucket holds `amount` tokens and gains `amount` in `seconds`. It is kept as the moment at which it will be full
    again (the generic cell rate algorithm of ITU-T I.371, as a virtual schedule), so nothing need be done while time
    passes. Taking is O(windows).

    More than a bucket holds can be taken while it is full, and is owed afterwards: no request is too large for ever.
    """

    __slots__ = ("_full_at", "_gaps", "_reaches", "_share", "_windows")

    def __init__(self, windows: Sequence[Window], share: float = 1.0) -> None:
        """Full buckets, of which this replica has `share`: 0 < share <= 1 of the amounts."""
        self._windows = windows
        self._reaches = [float(window.seconds) for window in windows]
        self._full_at = [float("-inf")] * len(windows)
        self._share = share
        self._gaps = self._gaps_of(share)

    def wait_s(self, n: int, now: float) -> float:
        """0 where `n` tokens can be taken at `now` (seconds, never going back), else the seconds until they can."""
        longest = 0.0
        for full_at, gap, reach in zip(self._full_at, self._gaps, self._reaches, strict=True):
            if full_at > now:
                wait = min(full_at + n * gap - reach, full_at) - now
                longest = max(longest, wait)
        return longest

    def take(self, n: int, now: float) -> None:
        """Take `n` tokens at `now`, whether or not they are there: ask `wait_s` first."""
        for i, gap in enumerate(self._gaps):
            self._full_at[i] = max(self._full_at[i], now) + n * gap

    def tightest(self, now: float) -> tuple[int, float, float]:
        """The window nearest to its end at `now`: its place, the part of it that is left, and seconds until all is."""
        nearest, left, full_in = 0, 1.0, 0.0
        for i, (full_at, reach) in enumerate(zip(self._full_at, self._reaches, strict=True)):
            if full_at > now and 1 - (full_at - now) / reach < left:
                nearest, left, full_in = i, 1 - (full_at - now) / reach, full_at - now
        return nearest, max(0.0, left), full_in

    def is_full(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return all(full_at <= now for full_at in self._full_at)

    @property
    def share(self) -> float:
        """The share it was given."""
        return self._share

    def set_share(self, share: float, now: float) -> None:
        """Have another share of the amounts from `now` on; what was taken stays taken."""
        if share == self._share:
            return
        gaps = self._gaps_of(share)
        for i, (old, new) in enumerate(zip(self._gaps, gaps, strict=True)):
            if self._full_at[i] > now:
                self._full_at[i] = now + (self._full_at[i] - now) / old * new
        self._share, self._gaps = share, gaps

    def _gaps_of(self, share: float) -> list[float]:
        """Seconds that one token takes to come, by window."""
        return [window.seconds / (window.amount * share) for window in self._windows]
