"""Keeps shards where they should be: starts and ends partition actors, and moves shards between them.

The placement is the truth, and is written before anybody acts on it. A move is: the holder checkpoints, stops taking
frames in and releases the journal; the placement is written; the new holder opens the journal. Cut off between any two
steps, the next look finds a shard that its actor does not hold, and has it opened there. An actor that is away loses
its shards without being asked: its tenure of their folders ends (`pipeline.journal.tenure`), so it can do no harm.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from actors.balance import ActorCount, Load, Move, moves
from actors.placement import Placement
from pipeline.errors import CanfleetError, PartitionAway, PartitionMoved
from pipeline.scaling import ScalingSettings

_log: Final = logging.getLogger("canfleet.actors")

_START_S: Final = 120.0
"""So long an actor that has never answered may take to start before it counts as away."""


class Actors(Protocol):
    """What is asked of the partition actors: see `actors.partition_actors`."""

    def start(self, actor: int) -> None: ...  # noqa: D102
    def stop(self, actor: int) -> None: ...  # noqa: D102
    def restart(self, actor: int) -> None: ...  # noqa: D102
    def load(self, actor: int) -> tuple[dict[int, float], float]: ...  # noqa: D102
    def hold(self, shard: int, actor: int) -> None: ...  # noqa: D102
    def release(self, shard: int, actor: int) -> None: ...  # noqa: D102
    def in_touch(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Renewal:
    """How far a renewal of the partition actors is.

    Attributes:
        left: numbers of those that are still to be renewed.
        fault: why it stopped before it was done, if it did.
    """

    left: tuple[int, ...]
    fault: str = ""


class Rebalancer:
    """One thread calls `look` from time to time.

    Any thread may read `placement` and `renewal`, and call what begins with `request`.
    """

    def __init__(
        self,
        placement: Placement,
        scaling: ScalingSettings,
        actors: Actors,
        write: Callable[[Placement], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on from `placement`; `write` makes another one durable before it counts."""
        self.placement = placement
        self._scaling = scaling
        self._actors = actors
        self._write = write
        self._clock = clock
        self._count = ActorCount(scaling, len(placement.actor_of))
        self._requested: deque[Move] = deque()
        self._heard: dict[int, float] = {}
        self._used: dict[int, tuple[float, float]] = {}
        self._starting = 0
        self._began = clock()
        self._uneven_seen = False
        self._renewal: Renewal | None = None

    @property
    def renewal(self) -> Renewal | None:
        """How the renewal goes that was asked for last, if one was."""
        return self._renewal

    def request_renewal(self) -> None:
        """Have every partition actor ended and begun anew at the next look, one after the other."""
        self._renewal = Renewal(tuple(range(self.placement.actors)))

    def request(self, shard: int, actor: int) -> None:
        """Have a shard moved at the next look; evenness may move it again later."""
        self._requested.append(Move(shard, actor))

    def look(self) -> None:
        """See how all are, and do what follows from it. Waits for moves; what fails is tried again at the next look."""
        self._try(self._admit_new)
        loads = self._loads()
        self._put_right(loads)
        while self._requested:
            self._move(self._requested.popleft(), loads)
        while self._renewal is not None and self._renewal.left and not self._renewal.fault:
            self._renewal = self._renew_first_of(self._renewal, loads)
        here = sorted(loads)
        if not here:
            return
        wanted = self._wanted(loads)
        self._even_out(loads, here[:wanted] if wanted < self.placement.actors else here)
        self._try(partial(self._end_from, wanted))

    def _renew_first_of(self, renewal: Renewal, loads: dict[int, Load]) -> Renewal:
        """The renewal after its next actor, whose shards are with the others meanwhile where there are others."""
        actor, *left = renewal.left
        shards = self.placement.shards_of(actor)
        others = sorted(loads.keys() - {actor})
        if others:
            for move in moves(self.placement, self._rates(loads), others):
                if move.shard in shards:
                    self._move(move, loads)
        try:
            # What is still there ends in good order, and its successor begins with it.
            for shard in self.placement.shards_of(actor) if actor in loads else ():
                with suppress(PartitionMoved):
                    self._actors.release(shard, actor)
            self._actors.restart(actor)
        except (CanfleetError, OSError) as error:
            _log.error("partition actor %d could not be renewed: %s", actor, error)
            loads.pop(actor, None)
            return Renewal(renewal.left, str(error))
        _log.info("partition actor %d is renewed", actor)
        self._used.pop(actor, None)
        self._heard[actor] = self._clock()
        loads[actor] = Load(dict.fromkeys(self.placement.shards_of(actor), 0.0), 0.0)
        for shard in shards:
            self._move(Move(shard, actor), loads)
        return Renewal(tuple(left))

    # -- seeing -------------------------------------------------------------------------------------------------

    def _loads(self) -> dict[int, Load]:
        """Loads of those that answer."""
        loads = {}
        for actor in range(self.placement.actors):
            try:
                rates, used = self._actors.load(actor)
            except PartitionAway:
                continue
            now = self._clock()
            used_before, then = self._used.get(actor, (used, now))
            self._used[actor] = used, now
            self._heard[actor] = now
            loads[actor] = Load(rates, (used - used_before) / (now - then) if now > then else 0.0)
        return loads

    def _away(self, actor: int) -> bool:
        heard = self._heard.get(actor)
        if heard is None:
            return self._clock() - self._began >= max(_START_S, self._scaling.away_after_s)
        return self._clock() - heard >= self._scaling.away_after_s

    def _put_right(self, loads: dict[int, Load]) -> None:
        """Have every actor hold what the placement says, no more and no less."""
        for actor, load in loads.items():
            placed = self.placement.shards_of(actor)
            for shard in placed:
                if shard not in load.shards:
                    self._try(partial(self._actors.hold, shard, actor))
            for shard in load.shards:
                if shard not in placed:
                    self._try(partial(self._actors.release, shard, actor))

    # -- numbers ------------------------------------------------------------------------------------------------

    def _wanted(self, loads: dict[int, Load]) -> int:
        """How many actors there should be; as many as there are while some are away, and more are begun."""
        present = self.placement.actors
        if len(loads) < present or self._starting > present:
            return present
        wanted = self._count.wanted(self._clock(), list(loads.values()), present)
        if wanted > present:
            _log.info("the load wants %d partition actors, there are %d", wanted, present)
            for actor in range(present, wanted):
                self._actors.start(actor)
            self._starting = wanted
            return present
        return wanted

    def _admit_new(self) -> None:
        """Count those that were begun and answer now, in their order: where there is no room yet, one waits for it."""
        while self.placement.actors < self._starting:
            try:
                self._actors.load(self.placement.actors)
            except PartitionAway:
                return
            self._place(self.placement.of(self.placement.actors + 1))

    def _end_from(self, wanted: int) -> None:
        """End the actors from number `wanted` on, once they hold nothing."""
        while self.placement.actors > wanted and not self.placement.shards_of(self.placement.actors - 1):
            ending = self.placement.actors - 1
            self._place(self.placement.of(ending))
            self._starting = min(self._starting, ending)
            self._actors.stop(ending)
            for known in (self._heard, self._used):
                known.pop(ending, None)
            _log.info("partition actor %d has ended: the load is that of %d", ending, ending)

    # -- moving -------------------------------------------------------------------------------------------------

    def _even_out(self, loads: dict[int, Load], usable: list[int]) -> None:
        waited_for = {a for a in self.placement.actor_of if a not in usable and a not in loads and not self._away(a)}
        planned = moves(self.placement, self._rates(loads), sorted({*usable, *waited_for}))
        must = [move for move in planned if self.placement.actor_of[move.shard] not in {*usable, *waited_for}]
        idle = any(not self.placement.shards_of(actor) for actor in usable)
        busiest = max(sum(load.shards.values()) for load in loads.values())
        worth_it = idle or busiest > self._scaling.frames_per_second / 2
        # One look may have met a burst; and nothing is moved for evenness while an actor is waited for.
        seen_before, self._uneven_seen = self._uneven_seen or idle, bool(planned)
        for move in planned if worth_it and seen_before and not waited_for else must:
            if move.actor not in waited_for:
                self._move(move, loads)

    def _rates(self, loads: dict[int, Load]) -> list[float]:
        """Frames per second by shard."""
        rates = [0.0] * len(self.placement.actor_of)
        for load in loads.values():
            for shard, rate in load.shards.items():
                rates[shard] = rate
        return rates

    def _move(self, move: Move, loads: dict[int, Load]) -> None:
        """Move one shard. Not asked of an actor that is away: it has lost it."""
        shard, target = move
        source = self.placement.actor_of[shard]
        if source == target or target not in loads:
            return
        if source not in loads and not self._actors.in_touch():
            _log.warning("shard %d stays with actor %d: it may be this node that is away", shard, source)
            return
        began = self._clock()

        def step() -> None:
            if source in loads:
                # An earlier move may have been cut off after this step.
                with suppress(PartitionMoved):
                    self._actors.release(shard, source)
            self._place(self.placement.moved(shard, target))
            self._actors.hold(shard, target)
            what, seconds = "shard %d: actor %d → %d in %.2f s", self._clock() - began
            _log.info(what, shard, source, target, seconds, extra={"shard": f"shard-{shard}"})

        self._try(step)

    def _place(self, placement: Placement) -> None:
        self._write(placement)
        self.placement = placement

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (CanfleetError, OSError) as error:
            _log.warning("%s; tried again at the next look", error)
