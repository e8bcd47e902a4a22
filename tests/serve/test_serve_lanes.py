"""Lanes at the door: what each kind of request travels as, and who is refused when bodies fill the gateway."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_stand_in import BOOTSTRAP, StandIn, StandInResult, bearer, check_problem, client

from pipeline.config import CanfleetConfig
from pipeline.errors import Overloaded
from pipeline.lanes.lane import Lane
from serve.gateway import Door, FramesEndpoint
from serve.logs import LogsEndpoint
from serve.taking import INLINE_BYTES
from simulator import FLEET_DBC

CRITICAL, NORMAL = 128, 256
"""Diagnostics, which the simulator's database marks, and EngineData."""
HEADERS = bearer(BOOTSTRAP) | {"Content-Type": "application/x-ndjson"}
HOUR_US = 3_600_000_000


def body(*ids: int, age_us: int = 0, broken: int = 0) -> bytes:
    now = time.time_ns() // 1000 - age_us
    rows: list[dict[str, Any]] = [
        {"vehicle_id": f"v{i}", "timestamp": now, "arbitration_id": number, "data": "00"}
        for i, number in enumerate(ids)
    ]
    rows += [{"vehicle_id": "", "timestamp": now, "arbitration_id": 1, "data": "00"}] * broken
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class Slow(StandIn):
    """A stand-in whose shards commit when told to."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.may_commit = asyncio.Event()

    async def submit(self, shard: int, submission: bytes, lane: Lane) -> StandInResult:
        result = await super().submit(shard, submission, lane)
        if lane is not Lane.CRITICAL:
            await self.may_commit.wait()
        return result


@pytest.mark.parametrize(
    ("sent", "lane"),
    [
        (partial(body, CRITICAL, CRITICAL), Lane.CRITICAL),
        (partial(body, CRITICAL, broken=2), Lane.CRITICAL),
        (partial(body, CRITICAL, age_us=HOUR_US), Lane.CRITICAL),
        (partial(body, CRITICAL, NORMAL), Lane.LIVE),
        (partial(body, NORMAL), Lane.LIVE),
        (partial(body, broken=1), Lane.LIVE),
        (partial(body, NORMAL, age_us=HOUR_US), Lane.BACKFILL),
    ],
    ids=["critical", "critical-and-broken", "old-critical", "mixed", "live", "broken", "old"],
)
def test_the_lane_of_a_request_reaches_every_shard(tmp_path: Path, sent: Callable[[], bytes], lane: Lane) -> None:
    platform = StandIn(tmp_path, CanfleetConfig(dbc=(FLEET_DBC,)))

    async def send() -> httpx.Response:
        async with client(FramesEndpoint(Door(platform))) as http:
            return await http.post("/v1/frames", content=sent(), headers=HEADERS)

    assert asyncio.run(send()).status_code == 202
    assert platform.lanes
    assert set(platform.lanes) == {lane}


def test_an_old_log_is_backfill(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)

    async def send() -> httpx.Response:
        async with client(LogsEndpoint(platform)) as http:
            log = b"(1700000000.5) can0 100#00\n"
            return await http.post("/v1/logs?vehicle_id=v&filename=a.log", content=log, headers=bearer(BOOTSTRAP))

    assert asyncio.run(send()).status_code == 202
    assert platform.lanes == [Lane.BACKFILL]


def test_requests_that_wait_for_their_commit_leave_room_for_critical_ones(tmp_path: Path) -> None:
    async def run() -> None:
        platform = Slow(tmp_path, CanfleetConfig(dbc=(FLEET_DBC,)))
        endpoint = FramesEndpoint(Door(platform))
        normal = body(*[NORMAL] * 10)
        endpoint.budget.total, endpoint.budget.reserve = 3 * len(normal), len(normal)
        async with client(endpoint) as http:

            async def post(content: bytes) -> httpx.Response:
                return await http.post("/v1/frames", content=content, headers=HEADERS)

            waiting = [asyncio.create_task(post(normal)) for _ in range(3)]
            while endpoint.budget.used < endpoint.budget.total:
                await asyncio.sleep(0.001)
            while len(platform.frames()) < 10 * len(waiting):
                await asyncio.sleep(0.001)
            for _ in range(3):
                refused = await post(normal)
                check_problem(refused, 503, "overloaded")
                assert refused.headers["Retry-After"] == "1"
                assert (await post(body(CRITICAL))).status_code == 202
            platform.may_commit.set()
            assert [(await one).status_code for one in waiting] == [202] * 3
            assert (await post(normal)).status_code == 202
            assert endpoint.budget.used == 0

    asyncio.run(run())


def test_large_bodies_are_refused_unread_while_live_requests_find_no_room(tmp_path: Path) -> None:
    class Full(StandIn):
        def admit(self, shards: Collection[int], lane: Lane) -> None:
            if lane is not Lane.CRITICAL:
                raise Overloaded("full")

    async def unreadable() -> AsyncIterator[bytes]:
        yield b"["
        raise AssertionError("the body was read")

    async def run() -> None:
        async with client(FramesEndpoint(Door(Full(tmp_path, CanfleetConfig(dbc=(FLEET_DBC,)))))) as http:
            large = HEADERS | {"Content-Length": str(INLINE_BYTES + 1)}
            answer = await http.post("/v1/frames", content=unreadable(), headers=large)
            check_problem(answer, 503, "overloaded")
            assert (await http.post("/v1/frames", content=body(CRITICAL), headers=HEADERS)).status_code == 202
            assert (await http.post("/v1/frames", content=body(NORMAL), headers=HEADERS)).status_code == 503

    asyncio.run(run())
