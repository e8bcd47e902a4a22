"""A partition actor whose shard cannot be opened says why, and opens it when it can; ClickHouse need not be there."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from actors import held_shard
from actors.partition import PartitionActor
from actors.placement import Placement, place
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.config import CanfleetConfig
from pipeline.errors import Fenced, JournalError, Overloaded, PartitionMoved
from pipeline.journal.log import Journal
from pipeline.journal.tenure import JOURNAL, Tenure, current
from pipeline.lanes.lane import Lane
from pipeline.shard.shard import shard_folder
from simulator import FLEET_DBC
from tests.shard.shard_feed import batches, submission


@pytest.fixture
def config(tmp_path: Path) -> CanfleetConfig:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    return CanfleetConfig(data_dir=tmp_path, dbc=(FLEET_DBC,), clickhouse=WarehouseSettings(url=url))


def test_a_journal_that_cannot_be_used_is_named_until_it_can(
    config: CanfleetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_shard, "_OPEN_AGAIN_S", 0.05)
    place(config.data_dir, Placement.dealt(1, 1))
    folder = shard_folder(config.data_dir, 0)
    Journal.open(Tenure.begin(folder).path / JOURNAL).close()
    [segment] = (current(folder) / JOURNAL).glob("*.journal")
    whole = segment.read_bytes()
    segment.write_bytes(b"")

    async def story() -> None:
        actor = PartitionActor(0, config)
        with pytest.raises(Overloaded, match=r"journal: the header has 0"):
            await actor.status(0)
        with pytest.raises(Overloaded, match=r"journal: the header has 0"):
            await actor.submit(0, b"", Lane.LIVE)
        with pytest.raises(PartitionMoved, match="shard 1 is not held here"):
            await actor.status(1)
        assert await actor.drain(0, 1) is False
        (current(folder) / JOURNAL / segment.name).write_bytes(whole)
        deadline = time.monotonic() + 60
        while actor._held[0].opened is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        status = await actor.status(0)
        assert (status["shard"], status["draining"]) == (0, True)
        await actor.drain(0, 5)

    asyncio.run(story())


def test_an_actor_whose_shard_was_taken_over_ends_also_when_nobody_asks(config: CanfleetConfig) -> None:
    place(config.data_dir, Placement.dealt(1, 1))

    async def story() -> None:
        actor = PartitionActor(0, config)
        shard = actor._held[0].opened
        assert shard is not None
        ends: list[BaseException] = []
        shard.loops.on_fatal = ends.append
        Tenure.begin(shard_folder(config.data_dir, 0))
        deadline = time.monotonic() + 60
        while not ends:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        with pytest.raises(JournalError):
            await actor.submit(0, submission(batches(1)[0]), Lane.LIVE)
        assert [type(end) for end in ends] == [Fenced, Fenced]
        await actor._held[0].hand_over()

    asyncio.run(story())


def test_a_shard_goes_from_actor_to_actor_with_what_was_acknowledged(config: CanfleetConfig) -> None:
    place(config.data_dir, Placement(0, 2, (0, 0)))

    async def story() -> None:
        source, target = PartitionActor(0, config), PartitionActor(1, config)
        assert [sorted((await actor.load())[0]) for actor in (source, target)] == [[0, 1], []]
        await source.release(1)
        with pytest.raises(PartitionMoved):
            await source.status(1)
        await asyncio.gather(target.hold(1), target.hold(1))
        await target.hold(1)
        assert [sorted((await actor.load())[0]) for actor in (source, target)] == [[0], [1]]
        assert (await target.status(1))["shard"] == 1
        for actor, shard in ((source, 0), (target, 1)):
            await actor.drain(shard, 5)

    asyncio.run(story())
