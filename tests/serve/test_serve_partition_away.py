"""A shard that is away: requests for its vehicles are refused or wait, and those for others notice nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from serve_stand_in import StandIn, StandInResult, bearer, check_problem, client

from pipeline.errors import PartitionAway
from pipeline.lanes.lane import Lane
from pipeline.partitioning import partition_of
from serve.gateway import Door, FramesEndpoint
from serve.query import build_query_app
from serve.taking import INLINE_BYTES


class OneAway(StandIn):
    """Its shards in `away` refuse before anything is spent; those in `hung` answer nothing until `found` is set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.away: set[int] = set()
        self.hung: set[int] = set()
        self.found = asyncio.Event()

    def vehicle(self, shard: int) -> str:
        """A vehicle of fleet north."""
        ids = pa.array([f"truck-{i}" for i in range(20)])
        shards = self.layout.shard_of[partition_of("north", ids, self.layout.partitions)]
        return str(ids[shards.tolist().index(shard)])

    def admit(self, shards: Collection[int], lane: Lane) -> None:
        if self.away & set(shards):
            raise PartitionAway("shard has not answered lately", 1.0)

    async def submit(self, shard: int, submission: bytes, lane: Lane) -> StandInResult:
        if shard in self.hung:
            await self.found.wait()
            raise PartitionAway(f"shard {shard} does not answer", 1.0)
        return await super().submit(shard, submission, lane)

    async def ledger(self, fleet: str, start: int = 0, end: int = 1 << 40) -> dict[str, Any]:
        if self.away:
            raise PartitionAway("shard has not answered lately", 1.0)
        return await super().ledger(fleet, start, end)


@pytest.fixture
def platform(tmp_path: Path) -> OneAway:
    return OneAway(tmp_path)


def body(*vehicles: str, frames: int = 1) -> bytes:
    now = time.time_ns() // 1000
    rows = [
        {"vehicle_id": vehicle, "timestamp": now + i, "arbitration_id": 256, "data": "00"}
        for vehicle in vehicles
        for i in range(frames)
    ]
    return json.dumps(rows).encode()


def test_gathered_requests_wait_for_their_own_shards_alone_and_fail_with_them(platform: OneAway) -> None:
    here, there = platform.vehicle(0), platform.vehicle(1)
    headers = bearer(platform.key("north", "ingest")) | {"Content-Type": "application/json"}
    platform.hung = {1}

    async def story() -> list[httpx.Response]:
        async with client(FramesEndpoint(Door(platform))) as http:
            bodies = [body(here), body(there), body(here, there), body(here)]
            posted = [asyncio.create_task(http.post("/v1/frames", content=one, headers=headers)) for one in bodies]
            await asyncio.wait([posted[0], posted[3]])
            assert not posted[1].done()
            assert not posted[2].done()
            platform.found.set()
            return await asyncio.gather(*posted)

    answers = asyncio.run(story())
    assert [answer.status_code for answer in answers] == [202, 503, 503, 202]
    assert len(platform.submissions) == 1, "the four were taken together"
    for answer in answers[1:3]:
        problem = check_problem(answer, 503, "unavailable")
        assert "safe" in problem["detail"]
        assert answer.headers["Retry-After"] == "1"


def test_a_large_body_is_read_before_an_absent_shard_refuses_it(platform: OneAway) -> None:
    here, there = platform.vehicle(0), platform.vehicle(1)
    headers = bearer(platform.key("north", "ingest")) | {"Content-Type": "application/json"}
    platform.away = {1}

    def post(vehicle: str) -> httpx.Response:
        async def posting() -> httpx.Response:
            async with client(FramesEndpoint(Door(platform))) as http:
                content = body(vehicle, frames=4000)
                assert len(content) > INLINE_BYTES
                return await http.post("/v1/frames", content=content, headers=headers)

        return asyncio.run(posting())

    assert post(here).status_code == 202
    check_problem(post(there), 503, "unavailable")
    platform.away = {0, 1}
    check_problem(post(here), 503, "unavailable")
    assert sum(submission.frames.num_rows for _, submission in platform.submissions) == 4000


def test_the_status_answers_without_the_ledger_while_a_shard_is_away(platform: OneAway) -> None:
    headers = bearer(platform.key("north", "query"))

    async def status() -> httpx.Response:
        async with client(build_query_app(platform)) as http:
            return await http.get("/v1/status", headers=headers)

    platform.away = {1}
    answer = asyncio.run(status())
    assert answer.status_code == 200
    assert answer.json()["ledger"] is None
    assert answer.json()["shards"]
    platform.away = set()
    assert asyncio.run(status()).json()["ledger"]["fleet"] == "north"
