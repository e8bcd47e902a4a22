"""Rate limits as clients meet them, and as several replicas share them."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_stand_in import StandIn, bearer, check_problem, client

from pipeline.config import CanfleetConfig, ServerSettings
from pipeline.keys.record import KeyRecord
from pipeline.limits.settings import RateLimitSettings
from serve.gateway import Door, FramesEndpoint
from serve.problems import ProblemError
from serve.query import build_query_app
from serve.rate_limits import RateLimits

NDJSON = {"Content-Type": "application/x-ndjson"}


def platform(folder: Path, gateways: int = 1, **limits: object) -> StandIn:
    server, rates = ServerSettings(gateways=gateways), RateLimitSettings.model_validate(limits)
    return StandIn(folder, CanfleetConfig(server=server, rate_limits=rates))


def body(n: int, age_s: float = 0.0) -> bytes:
    at = time.time_ns() // 1000 - round(age_s * 1e6)
    row = {"vehicle_id": "v1", "timestamp": at, "arbitration_id": 256, "data": "00ff"}
    return b"".join(json.dumps(row | {"timestamp": at + i}).encode() + b"\n" for i in range(n))


def send(stand_in: StandIn, key: str, *bodies: bytes, **headers: str) -> list[httpx.Response]:
    async def all_of_them() -> list[httpx.Response]:
        async with client(FramesEndpoint(Door(stand_in))) as http:
            sent = {**bearer(key), **NDJSON, **{name.replace("_", "-"): text for name, text in headers.items()}}
            return [await http.post("/v1/frames", content=one, headers=sent) for one in bodies]

    return asyncio.run(all_of_them())


def test_what_is_within_the_limit_learns_what_is_left(tmp_path):
    stand_in = platform(tmp_path, key={"requests": "100/h", "frames": "2000/h"})
    answers = send(stand_in, stand_in.key("north", "ingest"), body(10), body(200))
    assert [answer.status_code for answer in answers] == [202, 202]
    policy = '"key-requests-3600s";q=100;w=3600, "key-frames-3600s";q=2000;w=3600;qu="frames"'
    assert [answer.headers["ratelimit-policy"] for answer in answers] == [policy, policy]
    assert answers[0].headers["ratelimit"].startswith('"key-requests-3600s";r=99;')
    assert answers[1].headers["ratelimit"].startswith('"key-frames-3600s";r=1790;')


@pytest.mark.parametrize("limits", [{"key": {"requests": "1/h"}}, {"fleet": {"frames": "10/h"}}])
def test_what_is_beyond_it_is_refused_whole(tmp_path, limits):
    stand_in = platform(tmp_path, **limits)
    first, second = send(stand_in, stand_in.key("north", "ingest"), body(10), body(10))
    assert first.status_code == 202
    check_problem(second, 429, "rate-limited")
    assert 300 < int(second.headers["retry-after"]) <= 3600
    assert len(second.headers.get_list("ratelimit")) == 1
    assert ";r=0;" in second.headers["ratelimit"]
    assert len(stand_in.frames()) == 10


def test_without_limits_there_are_no_headers(tmp_path):
    stand_in = platform(tmp_path)
    (answer,) = send(stand_in, stand_in.key("north", "ingest"), body(1))
    assert answer.status_code == 202
    assert "ratelimit" not in answer.headers
    assert stand_in.divisions == 0


def test_old_data_in_the_backfill_lane_takes_nothing_from_live_data(tmp_path):
    stand_in = platform(tmp_path, key={"frames": "100/h"})
    key = stand_in.key("north", "ingest")
    old = send(stand_in, key, *[body(100, age_s=86400 + i) for i in range(5)], X_Canfleet_Lane="backfill")
    assert [answer.status_code for answer in old] == [202] * 5
    live, more = send(stand_in, key, body(100), body(1))
    assert live.status_code == 202
    check_problem(more, 429, "rate-limited")
    check_problem(send(stand_in, key, body(1), X_Canfleet_Lane="critical")[0], 400, "bad-request")


def test_queries_count_as_requests(tmp_path):
    stand_in = platform(tmp_path, key={"requests": "2/h"})
    key = stand_in.key("north", "query")

    async def ask() -> list[httpx.Response]:
        async with client(build_query_app(stand_in)) as http:
            return [await http.get("/v1/vehicles", headers=bearer(key)) for _ in range(3)]

    *good, refused = asyncio.run(ask())
    assert [answer.status_code for answer in good] == [200, 200]
    assert good[0].headers["ratelimit"].startswith('"key-requests-3600s";r=1;')
    check_problem(refused, 429, "rate-limited")
    assert len(refused.headers.get_list("ratelimit")) == 1


def test_guessing_keys_is_limited_by_address_and_valid_keys_are_not(tmp_path):
    stand_in = platform(tmp_path, unauthenticated="3/h")
    key = stand_in.key("north", "ingest")

    async def ask() -> list[int]:
        async with client(FramesEndpoint(Door(stand_in))) as http:

            async def one(text: str, address: str) -> int:
                headers = {**bearer(text), **NDJSON, "X-Canfleet-Address": address}
                answer = await http.post("/v1/frames", content=body(1), headers=headers)
                assert ("retry-after" in answer.headers) == (answer.status_code == 429)
                return answer.status_code

            guesser = [await one("wrong", "192.0.2.1") for _ in range(5)]
            subscriber = [await one("wrong", f"2001:db8:1:2::{i}") for i in range(5)]
            return [*guesser, *subscriber, await one("wrong", "192.0.2.2"), await one(key, "192.0.2.1")]

    assert asyncio.run(ask()) == [401, 401, 401, 429, 429] * 2 + [401, 202]


class Replicas:
    """Several gateways under one clock, which only moves when a test says so."""

    def __init__(self, folder: Path, n: int, **limits: object) -> None:
        self.now = 0.0
        self.stand_in = platform(folder, n, **limits)
        self.stand_in.now = lambda: self.now
        self.key = KeyRecord("k", "north", frozenset(["ingest"]), bytes(32), 0)
        self.replicas = [RateLimits(self.stand_in, clock=lambda: self.now) for _ in range(n)]

    async def admitted(self, replica: int, n: int) -> int:
        rates = self.replicas[replica]
        caller = rates.caller(self.key)
        try:
            await rates.request(caller, "frames")
            await rates.frames(caller, n, "frames")
        except ProblemError:
            return 0
        await asyncio.sleep(0)
        return n


@pytest.mark.parametrize("seed", range(4))
def test_the_limit_holds_across_replicas(tmp_path, seed):
    """Three times as much as allowed, spread over four replicas in a way that changes every ten seconds."""
    rng = random.Random(seed)
    fleet = Replicas(tmp_path, 4, key={"frames": "2000/s"})

    async def a_minute() -> list[int]:
        seconds, weights = [], [1.0] * 4
        for second in range(60):
            if second % 10 == 0:
                weights = [rng.random() ** 3 for _ in range(4)]
            got = 0
            for _ in range(600):
                fleet.now += 1 / 600
                got += await fleet.admitted(rng.choices(range(4), weights)[0], 10)
            seconds.append(got)
        return seconds

    seconds = asyncio.run(a_minute())
    allowed = 2000 * 60 + 2000  # the bucket was full
    assert 0.9 * allowed <= sum(seconds) <= 1.1 * allowed
    # One call every half second and replica, and at most twenty a second where something is refused.
    assert fleet.stand_in.divisions < 60 * 4 * 22


def test_one_below_the_limit_is_not_refused_wherever_it_comes(tmp_path):
    rng = random.Random(5)
    fleet = Replicas(tmp_path, 3, key={"requests": "100/s"})

    async def half_a_minute() -> int:
        got = 0
        for second in range(30):
            for _ in range(60):
                fleet.now += 1 / 60
                admitted = await fleet.admitted(rng.randrange(3), 1)
                got += admitted if second else 1  # the first of all tells the replicas of each other
        return got

    assert asyncio.run(half_a_minute()) == 30 * 60


def test_limits_go_on_holding_while_the_directory_is_away(tmp_path, caplog: Any):
    fleet = Replicas(tmp_path, 2, key={"frames": "1000/s"})

    async def seconds(n: int) -> int:
        got = 0
        for i in range(n * 400):
            fleet.now += 1 / 400
            got += await fleet.admitted(i % 2, 10)
        return got

    async def run() -> tuple[int, int]:
        await seconds(5)
        fleet.stand_in.fail_divide = RuntimeError("away")
        away = await seconds(10)
        fleet.stand_in.fail_divide = None
        return away, await seconds(10)

    away, back = asyncio.run(run())
    assert 0.85 * 10_000 <= away <= 1.1 * 10_000
    assert 0.9 * 10_000 <= back <= 1.1 * 10_000
    assert "the directory does not answer: away" in caplog.text
