"""All shards, wherever they are: calls go to the actor that holds the shard, and follow it when it moves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from actors.named_actor import NamedActor
from actors.partition_handle import CALL_TIMEOUT_S, PartitionHandle
from actors.placement import Placement
from pipeline.breaker import State
from pipeline.errors import CanfleetError, Overloaded, PartitionMoved
from pipeline.lanes.lane import Lane

_log: Final = logging.getLogger("canfleet.actors")

FOLLOW_S: Final = 1.0
"""How often the directory is asked where the shards are."""
_MOVING_S: Final = 3.0
"""So long a call waits for a shard that moves; a move takes less as a rule, and nobody is refused then."""
_LOOK_AGAIN_S: Final = 0.05

Find: TypeAlias = Callable[[int], Awaitable[NamedActor]]
"""The actor of a number."""
Follow: TypeAlias = Callable[[int], Awaitable[Placement | None]]
"""The placement; None where that of this version is the newest."""


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What one shard did with one submission: counts of rows, all durable. See `pipeline.shard.commit.Receipt`."""

    accepted: int
    duplicates: int
    dead_lettered: int
    duplicate_rows: bytes


class PlacedShards:
    """Every shard of the platform by number. One event loop."""

    def __init__(self, placement: Placement, actors: list[NamedActor], find: Find, follow: Follow) -> None:
        """Shards as in `placement`, whose `actors` are by number; `find` and `follow` for what changes."""
        self._placement = placement
        self._actors: dict[int, NamedActor] = dict(enumerate(actors))
        self._find = find
        self._follow_directory = follow
        self._handles = [PartitionHandle(shard, actors[actor]) for shard, actor in enumerate(placement.actor_of)]
        self._in_flight = [0] * len(self._handles)
        self._looking: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many shards there are."""
        return len(self._handles)

    def actor_of(self, shard: int) -> int:
        """Number of the actor that holds it, as far as is known."""
        return self._placement.actor_of[shard]

    def away(self, shard: int) -> bool:
        """Whether calls to it are refused."""
        return self._handles[shard].line.away

    def breaker(self, shard: int) -> State:
        """State of the breaker before it."""
        return self._handles[shard].line.state

    def check(self, shard: int) -> None:
        """Raise PartitionAway where calls to it are refused."""
        self._handles[shard].line.check()

    def admit(self, shard: int, bound: int) -> None:
        """Refuse a request before any work is spent on it.

        Raises:
            PartitionAway: the actor does not answer.
            Overloaded: more than `bound` bytes of submissions are under way from here.
        """
        self.check(shard)
        if self._in_flight[shard] > bound:
            raise Overloaded(f"shard {shard} has {self._in_flight[shard] >> 20} MiB in flight", 1.0)

    def submit(self, shard: int, submission: bytes, lane: Lane) -> Coroutine[None, None, SubmitResult]:
        """See `PlatformClient.submit`."""
        self._in_flight[shard] += len(submission)
        return self._submitted(shard, submission, lane)

    async def _submitted(self, shard: int, submission: bytes, lane: Lane) -> SubmitResult:
        try:
            return SubmitResult(*await self.ask(shard, "submit", submission, lane))
        finally:
            self._in_flight[shard] -= len(submission)

    async def ask(
        self,
        shard: int,
        method: str,
        *arguments: Any,  # noqa: ANN401
        timeout_s: float = CALL_TIMEOUT_S,
        patient_s: float = 0.0,
    ) -> Any:  # noqa: ANN401
        """Call a method of the actor that holds `shard`: see `PartitionHandle.ask`.

        Raises:
            PartitionAway: the actor does not answer.
            PartitionMoved: the shard moves, and has not arrived within a few seconds.
        """
        clock, until = asyncio.get_running_loop().time, None
        while True:
            try:
                return await self._handles[shard].ask(method, *arguments, timeout_s=timeout_s, patient_s=patient_s)
            except PartitionMoved:
                if until is None:
                    until = clock() + _MOVING_S
                elif clock() >= until:
                    raise
                else:
                    await asyncio.sleep(_LOOK_AGAIN_S)
            await self._look()

    # -- following ----------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Begin to ask the directory from time to time, so that shards are found whose actor is gone for good."""
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_S)
            await self._look()

    async def _look(self) -> None:
        """Ask the directory, all callers together."""
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look_up())
        await asyncio.shield(self._looking)

    async def _look_up(self) -> None:
        try:
            placement = await self._follow_directory(self._placement.version)
            if placement is not None:
                await self._adopt(placement)
        except CanfleetError as error:
            _log.warning("nobody says where the shards are: %s", error)
        finally:
            self._looking = None

    async def _adopt(self, placement: Placement) -> None:
        moved = [s for s, actor in enumerate(placement.actor_of) if actor != self._placement.actor_of[s]]
        for actor in {placement.actor_of[shard] for shard in moved} - self._actors.keys():
            self._actors[actor] = await self._find(actor)
        # Those that hold nothing may end, and others begin under their names.
        self._actors = {number: self._actors[number] for number in set(placement.actor_of)}
        for shard in moved:
            self._handles[shard] = PartitionHandle(shard, self._actors[placement.actor_of[shard]])
        self._placement = placement
