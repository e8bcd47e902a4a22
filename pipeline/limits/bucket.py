"""A token bucket with several windows at once, which knows no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.limits.window import Window


class Level:
    """How full one window is: the moment at which it will be full again, the seconds a token takes, and all of them."""

    __slots__ = ("full_at", "gap", "reach")

    def __init__(self, gap: float, reach: float) -> None:
        """Full since ever."""
        self.full_at = float("-inf")
        self.gap = gap
        self.reach = reach


def wait_s(levels: Iterable[Level], n: int, now: float) -> float:
    """0 where `n` tokens can be taken of all `levels` at `now` (seconds, never going back), else seconds until then."""
    longest = 0.0
    for level in levels:
        full_at = level.full_at
        if full_at > now:
            wait = full_at + n * level.gap - level.reach - now
            if wait > longest:
                longest = max(longest, min(wait, full_at - now))
    return longest


def take(levels: Iterable[Level], n: int, now: float) -> None:
    """Take `n` tokens of all `levels` at `now`, whether or not they are there: ask `wait_s` first."""
    for level in levels:
        full_at = level.full_at
        level.full_at = (full_at if full_at > now else now) + n * level.gap


def tightest(levels: Iterable[Level], now: float) -> tuple[int, float, float]:
    """The level nearest to its end at `now`: its place, the part of it that is left, and seconds until it is full."""
    nearest, used, full_in = 0, 0.0, 0.0
    for i, level in enumerate(levels):
        seconds = level.full_at - now
        if seconds > used * level.reach:
            nearest, used, full_in = i, seconds / level.reach, seconds
    return nearest, max(0.0, 1 - used), full_in


class Bucket:
    """One token bucket for each window; what is taken is taken from all of them, or from none.

    A bucket holds `amount` tokens and gains `amount` in `seconds`. It is kept as the moment at which it will be full
    again (the generic cell rate algorithm of ITU-T I.371, as a virtual schedule), so nothing need be done while time
    passes. Taking is O(windows), and several buckets are asked at once by their levels.

    More than a bucket holds can be taken while it is full, and is owed afterwards: no request is too large for ever.

    Attributes:
        levels: one for each window.
        share: the part of the amounts that this replica has.
    """

    __slots__ = ("_windows", "levels", "share")

    def __init__(self, windows: Sequence[Window], share: float = 1.0) -> None:
        """Full buckets, of which this replica has `share`: 0 < share <= 1 of the amounts."""
        self._windows = windows
        self.share = share
        self.levels = [Level(window.seconds / (window.amount * share), float(window.seconds)) for window in windows]

    def is_full(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return all(level.full_at <= now for level in self.levels)

    def set_share(self, share: float, now: float) -> None:
        """Have another share of the amounts from `now` on; what was taken stays taken."""
        if share == self.share:
            return
        for level, window in zip(self.levels, self._windows, strict=True):
            gap = window.seconds / (window.amount * share)
            if level.full_at > now:
                level.full_at = now + (level.full_at - now) / level.gap * gap
            level.gap = gap
        self.share = share
