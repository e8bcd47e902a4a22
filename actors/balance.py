"""How many partition actors a load wants, and which shards move so that they share it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from actors.placement import Placement
from pipeline.scaling import ScalingSettings

_BUSY: Final = 0.85
"""Share of its processor above which an actor needs help, whatever its rate."""
_EVEN: Final = 0.2
"""Actors whose loads differ by less than this share of the mean are even: a move costs more than it brings."""


class Move(NamedTuple):
    """A shard that goes to another actor."""

    shard: int
    actor: int


@dataclass(frozen=True, slots=True)
class Load:
    """What an actor does: `shards`, frames per second by shard; `busy`, the share of a processor that it uses."""

    shards: dict[int, float]
    busy: float


class ActorCount:
    """How many actors are wanted: more at the second look that says so, fewer after `scaling.fewer_after_s` of them.

    O(actors) a look.
    """

    def __init__(self, scaling: ScalingSettings, shards: int) -> None:
        """Within the bounds of `scaling`, for a platform of `shards`."""
        self._scaling = scaling
        self._least, self._most = scaling.bounds(shards)
        self._more_seen = False
        self._fewer_since: float | None = None

    def wanted(self, now: float, loads: Sequence[Load], present: int) -> int:
        """How many there should be, from the loads of those `present` at `now` (s, any clock that does not go back)."""
        needed = self._clamped(self._needed(loads, present))
        more, fewer = needed > present, needed < present
        # One look may have met a burst.
        seen_before, self._more_seen = self._more_seen, more
        if more and seen_before:
            return needed
        if not fewer:
            self._fewer_since = None
            return self._clamped(present)
        if self._fewer_since is None:
            self._fewer_since = now
        if now - self._fewer_since < self._scaling.fewer_after_s:
            return self._clamped(present)
        self._fewer_since = None
        return self._clamped(present - 1)

    def _needed(self, loads: Sequence[Load], present: int) -> int:
        rate = sum(sum(load.shards.values()) for load in loads)
        by_rate = max(1, math.ceil(rate / self._scaling.frames_per_second))
        if any(load.busy > _BUSY for load in loads):
            return max(by_rate, present + 1)
        # With one actor less the rest must not be what asks for it again.
        room = sum(load.busy for load in loads) <= _BUSY * (present - 1) * (1 - _EVEN)
        return by_rate if by_rate >= present or room else present

    def _clamped(self, actors: int) -> int:
        return min(max(actors, self._least), self._most)


def moves(placement: Placement, rates: Sequence[float], usable: Sequence[int]) -> list[Move]:
    """The moves that put all shards on the actors of `usable`, loads even, with as few of them as a greedy finds.

    First those that must move, the heaviest first, each to the least loaded; then from the most to the least loaded, as
    long as that brings the two nearer by more than it costs. O(shards · (shards + actors)).

    Args:
        placement: where the shards are.
        rates: load of each shard, 0 or more.
        usable: numbers of actors, at least one; some may hold nothing yet.
    """
    # Shards without a load still count a little, so that their numbers are even too.
    least_weight = (sum(rates) or 1.0) / len(rates) * 0.01
    weights = [rate + least_weight for rate in rates]
    holder = list(placement.actor_of)
    loads = dict.fromkeys(usable, 0.0)
    for shard, actor in enumerate(holder):
        if actor in loads:
            loads[actor] += weights[shard]

    def put(shard: int, actor: int) -> None:
        if holder[shard] in loads:
            loads[holder[shard]] -= weights[shard]
        holder[shard] = actor
        loads[actor] += weights[shard]

    homeless = [shard for shard, actor in enumerate(holder) if actor not in loads]
    for shard in sorted(homeless, key=lambda shard: -weights[shard]):
        put(shard, min(loads, key=loads.__getitem__))
    mean = sum(weights) / len(usable)
    while True:
        most, least = max(loads, key=loads.__getitem__), min(loads, key=loads.__getitem__)
        gap = loads[most] - loads[least]
        # What is lighter than the gap narrows it, and half of it best.
        fitting = [shard for shard, actor in enumerate(holder) if actor == most and weights[shard] < gap]
        if gap <= _EVEN * mean or not fitting:
            break
        best = min(fitting, key=lambda shard: abs(weights[shard] - gap / 2))
        if gap - abs(gap - 2 * weights[best]) <= _EVEN * mean / 2:
            break
        put(best, least)
    return [Move(shard, actor) for shard, actor in enumerate(holder) if actor != placement.actor_of[shard]]
