"""Calls follow a shard that moves: nobody is refused, and what fails is said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from actors.named_actor import NamedActor
from actors.placed_shards import FOLLOW_S, PlacedShards
from actors.placement import Placement
from pipeline.errors import Overloaded, PartitionAway, PartitionMoved
from pipeline.lanes.lane import Lane
from tests.breaker.virtual_time import run


class Actor:
    """What Ray's handle of a partition actor looks like, with the shards that it holds."""

    def __init__(self, *shards: int) -> None:
        self.shards = set(shards)
        self.gone = False
        self.answered = 0

    def __getattr__(self, method: str) -> Any:
        actor = self

        class Remote:
            async def remote(self, *arguments: Any) -> Any:
                await asyncio.sleep(0.001)
                if actor.gone:
                    raise ActorDiedError
                if method == "ping":
                    return None
                if arguments[0] not in actor.shards:
                    raise PartitionMoved(f"shard {arguments[0]}")
                actor.answered += 1
                return (1, 0, 0, b"") if method == "submit" else arguments[0]

        return Remote()


class Fleet:
    def __init__(self) -> None:
        self.actors = [Actor(0, 1), Actor()]
        self.placement = Placement(0, 2, (0, 0))
        self.directory_away = False
        self.found: list[int] = []

    async def find(self, number: int) -> NamedActor:
        self.found.append(number)
        return self.named(number)

    def named(self, number: int) -> NamedActor:
        async def again() -> Actor:
            self.found.append(number)
            return self.actors[number]

        return NamedActor(self.actors[number], again)

    async def follow(self, known: int) -> Placement | None:
        if self.directory_away:
            raise Overloaded("directory is away")
        return None if known == self.placement.version else self.placement

    def shards(self) -> PlacedShards:
        actors = [self.named(number) for number in range(len(self.actors))]
        return PlacedShards(self.placement, actors, self.find, self.follow)


def test_a_submission_waits_for_a_shard_that_moves() -> None:
    async def story() -> None:
        fleet = Fleet()
        shards = fleet.shards()
        fleet.actors[0].shards.discard(1)
        waiting = asyncio.ensure_future(shards.submit(1, b"frames", Lane.LIVE))
        await asyncio.sleep(1)
        fleet.placement = fleet.placement.moved(1, 1)
        await asyncio.sleep(0.5)
        assert not waiting.done()
        assert shards.actor_of(1) == 1
        fleet.actors[1].shards.add(1)
        assert (await waiting).accepted == 1
        assert (fleet.actors[0].answered, fleet.actors[1].answered) == (0, 1)
        assert await shards.ask(0, "latest") == 0

    run(story())


def test_a_shard_that_does_not_arrive_is_said_to_move() -> None:
    async def story() -> None:
        fleet = Fleet()
        shards = fleet.shards()
        fleet.actors[0].shards.discard(1)
        fleet.directory_away = True
        began = asyncio.get_running_loop().time()
        with pytest.raises(PartitionMoved):
            await shards.submit(1, b"frames", Lane.LIVE)
        assert 3 <= asyncio.get_running_loop().time() - began < 4
        shards.admit(1, 0)

    run(story())


def test_a_shard_of_an_actor_that_is_gone_is_found_where_it_is_now() -> None:
    async def story() -> None:
        fleet = Fleet()
        shards = fleet.shards()
        shards.follow()
        fleet.actors[0].gone = True
        with pytest.raises(PartitionAway):
            await shards.submit(1, b"frames", Lane.LIVE)
        fleet.actors.append(Actor(0, 1))
        fleet.placement = Placement(1, 3, (2, 2))
        await asyncio.sleep(2 * FOLLOW_S)
        # 0, too, is looked for by its name: whoever has that now might hold its shards.
        assert [actor for actor in fleet.found if actor != 0] == [2]
        assert (await shards.submit(1, b"frames", Lane.LIVE)).accepted == 1
        assert not shards.away(1)

    run(story())


def test_an_actor_that_was_begun_anew_is_found_by_its_name() -> None:
    async def story() -> None:
        fleet = Fleet()
        shards = fleet.shards()
        fleet.actors[0].gone = True
        fleet.actors[0] = Actor(0, 1)
        with pytest.raises(PartitionAway):
            await shards.submit(1, b"frames", Lane.LIVE)
        await asyncio.sleep(1)
        assert not shards.away(1)
        assert (await shards.submit(1, b"frames", Lane.LIVE)).accepted == 1
        assert (await shards.submit(0, b"frames", Lane.LIVE)).accepted == 1
        assert set(fleet.found) == {0}

    run(story())


def test_an_actor_that_is_renewed_while_it_holds_nothing_is_never_missed() -> None:
    async def story() -> None:
        fleet = Fleet()
        shards = fleet.shards()
        shards.follow()
        fleet.actors[1].shards = {0, 1}
        fleet.placement = Placement(1, 2, (1, 1))
        await asyncio.sleep(2 * FOLLOW_S)
        fleet.actors[0].gone = True
        fleet.actors[0] = Actor(0, 1)
        fleet.placement = Placement(2, 2, (0, 1))
        await asyncio.sleep(2 * FOLLOW_S)
        assert (await shards.submit(0, b"frames", Lane.LIVE)).accepted == 1
        assert fleet.actors[0].answered == 1

    run(story())
