"""How the replicas of a gateway share a limit without asking about each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LEASE_S: Final = 3.0
"""How long a share holds without being told again, and how long a replica counts that says nothing."""
_KEPT: Final = 0.1
"""What all replicas together keep of a limit for demand that turns up somewhere else; no replica more than a fifth."""
_HALVES_S: Final = 0.5
"""The demand of so long ago counts half as much as that of now."""
_USUAL_S: Final = 0.5
"""How long the tokens of a first report are taken to have been asked for."""


def first_share(replicas: int) -> float:
    """What each of `replicas` may use of a limit before it was told a share of it, and keeps in any case."""
    return 1.0 if replicas <= 1 else _KEPT / max(replicas, 5)


@dataclass(slots=True)
class _Part:
    """One replica's part of one limit: tokens a second, smoothed, when it said so, and the share it was told."""

    demand: float
    said_at: float
    share: float


class Shares:
    """Divides each limit among the replicas by what they were asked for lately. Knows no clock.

    The shares of a limit that are in force add up to 1 at most: a replica gets what its demand is worth, less what
    others have not given back yet, which they do when they ask the next time or when their lease ends. So the limit
    holds while shares move. A replica that has just come brings its first share before others have made room for it.
    """

    def __init__(self) -> None:
        """Nobody has a share."""
        self._seen: dict[str, float] = {}
        self._limits: dict[str, dict[str, _Part]] = {}

    def divide(self, replica: str, asked: Mapping[str, float], now: float) -> tuple[int, dict[str, float]]:
        """Note what `replica` was asked for since it said so the last time, and divide those limits.

        Args:
            replica: its name.
            asked: tokens by limit, refused ones too; 0 for those that it knows and was not asked for.
            now: seconds, never going back.

        Returns:
            The number of replicas, and the share of each limit that holds until it asks again, at most `LEASE_S`.
        """
        self._forget(now)
        self._seen[replica] = now
        shares = {limit: self._share(limit, replica, tokens, now) for limit, tokens in asked.items()}
        return len(self._seen), shares

    def _share(self, limit: str, replica: str, asked: float, now: float) -> float:
        parts = self._limits.setdefault(limit, {})
        before = parts.pop(replica, None)
        demand = _smoothed(before, asked, now)
        total = demand + sum(part.demand for part in parts.values())
        count = len(self._seen)
        first = first_share(count)
        wanted = first + (1 - first * count) * (demand / total if total > 0 else 1 / count)
        taken = sum(parts[name].share if name in parts else first for name in self._seen if name != replica)
        share = max(first, min(wanted, 1 - taken))
        parts[replica] = _Part(demand, now, share)
        return share

    def _forget(self, now: float) -> None:
        gone = [name for name, said_at in self._seen.items() if now - said_at >= LEASE_S]
        for name in gone:
            del self._seen[name]
        for limit, parts in list(self._limits.items()):
            for name in [name for name, part in parts.items() if now - part.said_at >= LEASE_S]:
                del parts[name]
            if not parts:
                del self._limits[limit]


def _smoothed(before: _Part | None, asked: float, now: float) -> float:
    """Tokens a second, the latest ones weighing most; an exponential average over time, not over reports."""
    if before is None:
        return asked / _USUAL_S
    passed_s = max(now - before.said_at, 1e-3)
    weight = 0.5 ** (passed_s / _HALVES_S)
    return weight * before.demand + (1 - weight) * asked / passed_s
