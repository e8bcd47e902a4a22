"""The platform's client in virtual time, with one shard of two away: what is released, left out, and refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ray.exceptions import ActorDiedError
from virtual_time import run

from actors.layout import Layout
from actors.named_actor import NamedActor
from actors.placement import Placement
from actors.platform_client import PlatformClient
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.config import CanfleetConfig
from pipeline.errors import Overloaded, PartitionAway
from pipeline.lanes.lane import Lane
from pipeline.partitioning import partition_of

SUBMISSION = bytes(600_000)


class Remote:
    """A method of an actor's handle."""

    def __init__(self, actor: Shard, name: str) -> None:
        self._actor = actor
        self._name = name

    async def remote(self, *arguments: Any) -> Any:
        self._actor.calls.append(self._name)
        if self._actor.gone:
            raise ActorDiedError
        if self._actor.hung:
            await asyncio.Event().wait()
        if self._name == "events":
            await asyncio.sleep(0.1)
            return 7, [{"shard": self._actor.number}]
        return {"submit": (1, 0, 0, b""), "latest": {"shard": self._actor.number}, "drain": True}.get(self._name)


class Shard:
    """What Ray's handle of a partition actor looks like from here."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.gone = self.hung = False
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Remote:
        return Remote(self, name)


@pytest.fixture
def shards() -> list[Shard]:
    return [Shard(0), Shard(1)]


def named(shard: Shard) -> NamedActor:
    async def find() -> Shard:
        return shard

    return NamedActor(shard, find)


def client(folder: Path, shards: list[Shard]) -> PlatformClient:
    config = CanfleetConfig(data_dir=folder, clickhouse=WarehouseSettings(url="http://127.0.0.1:9"))
    actors = [named(shard) for shard in shards]
    return PlatformClient(named(Shard(9)), config, Layout.spread(4, 2), Placement.dealt(2, 2), actors)


def test_bytes_in_flight_to_a_hung_shard_are_released_and_do_not_touch_the_other(
    tmp_path: Path, shards: list[Shard]
) -> None:
    async def story() -> None:
        platform = client(tmp_path, shards)
        shards[1].hung = True
        waiting = [asyncio.ensure_future(platform.submit(1, SUBMISSION, Lane.LIVE)) for _ in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(Overloaded, match="in flight"):
            platform.admit([1], Lane.LIVE)
        platform.admit([0], Lane.LIVE)
        assert (await platform.submit(0, SUBMISSION, Lane.LIVE)).accepted == 1
        assert {type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)} == {PartitionAway}
        with pytest.raises(PartitionAway):
            platform.admit([0, 1], Lane.LIVE)
        shards[1].hung = False
        await asyncio.sleep(2)
        platform.admit([0, 1], Lane.LIVE)
        assert (await platform.submit(1, SUBMISSION, Lane.LIVE)).accepted == 1

    run(story())


def test_the_live_feed_goes_on_without_the_shard_that_is_away(tmp_path: Path, shards: list[Shard]) -> None:
    async def story() -> None:
        platform = client(tmp_path, shards)
        shards[1].gone = True
        cursors: dict[int, int] = {0: 3, 1: 4}
        seen: list[int] = []
        for _ in range(5):
            cursors, events = await platform.events(cursors, 10)
            seen += [event["shard"] for event in events]
        assert set(seen) == {0}
        assert cursors == {0: 7, 1: 4}
        assert shards[1].calls.count("events") == 1
        shards[1].gone = False
        await asyncio.sleep(2)
        while 1 not in seen:
            cursors, events = await platform.events(cursors, 10)
            seen += [event["shard"] for event in events]
        shards[0].gone = shards[1].gone = True
        await asyncio.gather(*(platform.latest("north", f"truck-{i}") for i in range(20)), return_exceptions=True)

        async def asked_again() -> None:
            # The first may still hear what was asked before.
            for _ in range(2):
                await platform.events(cursors, 10)

        with pytest.raises(PartitionAway):
            await asked_again()

    run(story())


def test_one_vehicle_is_asked_of_its_own_shard_alone(tmp_path: Path, shards: list[Shard]) -> None:
    async def story() -> None:
        platform = client(tmp_path, shards)
        shards[1].gone = True
        ids = [f"truck-{i}" for i in range(20)]
        owners = (partition_of("north", pa.array(ids), 4) % 2).tolist()
        here, there = ids[owners.index(0)], ids[owners.index(1)]
        assert await platform.latest("north", here) == {"shard": 0}
        with pytest.raises(PartitionAway):
            await platform.latest("north", there)
        with pytest.raises(PartitionAway):
            await platform.vehicles("north")

    run(story())


def test_draining_waits_for_the_shards_that_are_there(tmp_path: Path, shards: list[Shard]) -> None:
    async def story() -> None:
        platform = client(tmp_path, shards)
        assert await platform.drain(30) is True
        shards[0].gone = True
        assert await platform.drain(30) is False
        assert shards[1].calls == ["drain", "drain"]

    run(story())
