"""`GET /v1/storage`: what `canfleet storage` computes, for the operator alone."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_shard_platform import ShardPlatform
from serve_stand_in import BOOTSTRAP, StandIn, bearer, check_problem, client

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.storage import overview
from pipeline.frames.body import NDJSON
from serve.gateway import Door, FramesEndpoint
from serve.query import build_query_app


def ask(platform: StandIn, path: str, key: str = BOOTSTRAP) -> httpx.Response:
    async def call() -> httpx.Response:
        async with client(build_query_app(platform)) as http:
            return await http.get(path, headers=bearer(key))

    return asyncio.run(call())


def test_it_tells_what_the_command_tells(shard_platform: ShardPlatform) -> None:
    now = time.time_ns() // 1000
    rows = ({"vehicle_id": "v", "timestamp": now + i, "arbitration_id": 256, "data": "00ff"} for i in range(1000))

    async def send() -> None:
        async with client(FramesEndpoint(Door(shard_platform))) as http:
            body = "\n".join(map(json.dumps, rows))
            answer = await http.post("/v1/frames", content=body, headers=bearer(BOOTSTRAP) | {"Content-Type": NDJSON})
            assert answer.status_code == 202

    asyncio.run(send())
    shard_platform.settle()
    answer = ask(shard_platform, "/v1/storage?rate=50000")
    assert answer.status_code == 200
    told = answer.json()
    computed = asdict(overview(shard_platform.warehouse, 50_000))  # which the command prints
    assert told.keys() == computed.keys()
    assert told["month"] == pytest.approx(computed["month"], rel=0.5)  # parts may have been merged meanwhile
    [frames] = [one for one in told["tiers"] if (one["table"], one["tier"]) == ("frames", "hot")]
    assert frames["rows"] >= 1000
    assert frames["bytes"] > 0
    assert frames["ratio"] > 0
    assert told["inserted_per_s"]["frames"] >= 1000 / 300
    assert told["month"]["frames_per_s"] == 50_000
    assert told["month"]["month_bytes"] == pytest.approx(told["month"]["bytes_per_frame"] * 50_000 * 86_400 * 30)
    by_itself = ask(shard_platform, "/v1/storage").json()["month"]
    assert by_itself["frames_per_s"] == pytest.approx(told["inserted_per_s"]["frames"], rel=0.5)


@pytest.mark.parametrize("fleet", ["default", "north"])
def test_a_fleets_key_does_not_see_it(tmp_path: Path, fleet: str) -> None:
    platform = StandIn(tmp_path)
    admin = platform.key(fleet, "ingest", "query", "admin")
    told = check_problem(ask(platform, "/v1/storage", admin), 403, "forbidden")
    assert "bootstrap key" in told["detail"]
    assert ask(platform, "/v1/status", admin).json()["operator"] is False
    assert ask(platform, "/v1/status").json()["operator"] is True


@pytest.mark.parametrize("rate", ["-1", "nan", "inf", "1e12", "many"])
def test_a_rate_makes_sense(tmp_path: Path, rate: str) -> None:
    check_problem(ask(StandIn(tmp_path), f"/v1/storage?rate={rate}"), 400, "bad-request")


def test_while_clickhouse_is_away_it_says_so(tmp_path: Path) -> None:
    away: Any = Warehouse(WarehouseSettings(url="http://127.0.0.1:1"))
    answer = ask(StandIn(tmp_path, warehouse=away), "/v1/storage")
    assert "ClickHouse does not answer" in check_problem(answer, 503, "unavailable")["detail"]
    assert answer.headers["retry-after"] == "1"
