"""`/v1/stream` of a running platform: through HAProxy and Serve, to frames that ClickHouse has once."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import httpx
import pytest
from platform_steps import count, eventually

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse
from serve.stream import IN_FLIGHT

pytestmark = pytest.mark.platform

N = 3 * IN_FLIGHT


def frame(sequence: int) -> str:
    row = {"vehicle_id": "stream-1", "timestamp": time.time_ns() // 1000, "arbitration_id": 256, "data": "00ff"}
    return json.dumps(row | {"session": 1, "sequence": sequence})


def test_messages_are_acknowledged_and_stored_once(platform: ChildPlatform, live_warehouse: Warehouse) -> None:
    async def conversation() -> list[dict]:
        headers = {"Authorization": f"Bearer {platform.key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{platform.url}/v1/stream", headers=headers) as socket,
        ):
            for sequence in range(N):
                # Every second one again under another id: as after an answer that was lost.
                await socket.send_str(f"m{sequence}\n{frame(sequence - sequence % 2)}")
            return [await socket.receive_json(timeout=30) for _ in range(N)]

    answers = asyncio.run(conversation())
    assert {answer["id"] for answer in answers} == {f"m{sequence}" for sequence in range(N)}
    assert {answer["status"] for answer in answers} == {202}
    assert sum(answer["accepted"] for answer in answers) == N // 2
    assert sum(answer["duplicates"] for answer in answers) == N // 2
    assert eventually(lambda: count(live_warehouse, "frames", "stream-1"), lambda n: n >= N // 2) == N // 2


def test_without_a_key_there_is_no_stream(platform: ChildPlatform) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    # From an address of its own: other tests without a key may have used up what 127.0.0.1 is allowed.
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.51")) as client:
        answer = client.get(
            f"{platform.url}/v1/stream", headers=upgrade | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        )
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_a_plain_request_is_told_where_it_is(platform: ChildPlatform, http: httpx.Client) -> None:
    answer = http.get("/v1/stream")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
