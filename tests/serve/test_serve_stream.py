"""`GET /v1/stream` over real sockets: every message is answered with its own id, under the same bounds as a request."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
import pytest
from serve_command import served
from serve_stand_in import StandIn, bearer

from pipeline.config import CanfleetConfig
from pipeline.errors import Overloaded
from pipeline.frames.limits import FrameLimits
from pipeline.limits.settings import RateLimitSettings
from serve.gateway import Door
from serve.stream import IN_FLIGHT, StreamEndpoint
from simulator.body import arrow_stream

Talk = Callable[[aiohttp.ClientWebSocketResponse], Awaitable[Any]]


def frame(vehicle: str = "v1", sequence: int = 0, **changed: Any) -> dict[str, Any]:
    made = {"vehicle_id": vehicle, "timestamp": time.time_ns() // 1000, "arbitration_id": 256, "data": "00ff"}
    return made | {"session": 1, "sequence": sequence} | changed


def text(message_id: str, *frames: dict[str, Any]) -> str:
    return "\n".join([message_id, *map(json.dumps, frames)])


def binary(message_id: int, n: int) -> bytes:
    batch = pa.record_batch(
        {
            "vehicle_id": pa.array(["arrow"] * n),
            "timestamp": pa.array([time.time_ns() // 1000] * n, pa.timestamp("us", "UTC")),
            "arbitration_id": pa.array(range(n), pa.uint32()),
            "data": pa.array([b"\x01\x02"] * n, pa.binary()),
        }
    )
    return message_id.to_bytes(8, "little") + arrow_stream(batch)


def talk(platform: StandIn, key: str, conversation: Talk, path: str = "/v1/stream", **headers: str) -> Any:
    async def connected(url: str) -> Any:
        sent = bearer(key) | {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession() as session, session.ws_connect(url + path, headers=sent) as socket:
            return await conversation(socket)

    with served(StreamEndpoint(Door(platform))) as url:
        return asyncio.run(asyncio.wait_for(connected(url), 30))


async def answers(socket: aiohttp.ClientWebSocketResponse, *messages: str | bytes) -> dict[str | None, dict[str, Any]]:
    for message in messages:
        await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
    received = [await socket.receive_json() for _ in messages]
    return {answer.pop("id"): answer for answer in received}


def test_each_message_is_acknowledged_with_its_own_id(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    messages = [
        text("first", frame("v1", 1), frame("v2", 2)),
        text("2", frame("v1", 3), frame("v1", 4, data="zz")),
        binary(2**64 - 1, 3),
    ]
    found = talk(platform, platform.key("north", "ingest"), lambda socket: answers(socket, *messages))
    assert found == {
        "first": {"status": 202, "received": 2, "accepted": 2, "duplicates": 0, "dead_lettered": 0},
        "2": {"status": 202, "received": 2, "accepted": 1, "duplicates": 0, "dead_lettered": 1},
        str(2**64 - 1): {"status": 202, "received": 3, "accepted": 3, "duplicates": 0, "dead_lettered": 0},
    }
    assert len(platform.frames()) == 6


def test_what_is_wrong_with_a_message_is_said_with_its_id(tmp_path: Path) -> None:
    platform = StandIn(tmp_path, CanfleetConfig(limits=FrameLimits(max_body_bytes=10_000)))
    key = platform.key("north", "ingest", vehicles=["v*"])
    found = talk(
        platform,
        key,
        lambda socket: answers(
            socket,
            "unreadable\nnot json",
            text("large", frame(data="00" * 6_000)),
            text("foreign", frame("truck-1")),
            text("no id!", frame()),
        ),
    )
    assert {message_id: answer["status"] for message_id, answer in found.items()} == {
        "unreadable": 400,
        "large": 413,
        "foreign": 403,
        None: 400,
    }
    assert found["large"]["type"] == "urn:canfleet:problem:body-too-large"
    assert "10,000" in found["large"]["detail"]
    assert platform.frames() == []
    short = talk(platform, key, lambda socket: answers(socket, b"\0"))
    assert short[None]["status"] == 400


def test_overload_and_rate_limits_say_when_to_come_again(tmp_path: Path) -> None:
    limits = RateLimitSettings.model_validate({"key": {"requests": "2/h"}})
    platform = StandIn(tmp_path, CanfleetConfig(rate_limits=limits), fail_admit=Overloaded("full", 3.0))
    found = talk(
        platform,
        platform.key("north", "ingest"),
        lambda socket: answers(socket, *[text(str(i), frame(sequence=i)) for i in range(3)]),
    )
    assert sorted(answer["status"] for answer in found.values()) == [429, 503, 503]
    assert {answer["retry_after"] for answer in found.values() if answer["status"] == 503} == {3}
    assert all(answer["retry_after"] > 3 for answer in found.values() if answer["status"] == 429)


@pytest.mark.parametrize(
    ("scopes", "path", "status"),
    [([], "/v1/stream", 401), (["query"], "/v1/stream", 403), (["ingest"], "/v1/streams", 404)],
)
def test_no_connection_without_a_key_that_may_ingest(tmp_path: Path, scopes: list[Any], path: str, status: int) -> None:
    platform = StandIn(tmp_path)
    key = platform.key("north", *scopes) if scopes else "wrong"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        talk(platform, key, lambda socket: answers(socket, text("1", frame())), path)
    assert refused.value.status == status
    assert platform.frames() == []


def test_a_revoked_key_ends_the_connection(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    issued = platform.store.create("north", ["ingest"])
    sequences = itertools.count(1)

    async def send(socket: aiohttp.ClientWebSocketResponse) -> int:
        sequence = next(sequences)
        await socket.send_str(text(f"m{sequence}", frame(sequence=sequence)))
        status: int = (await socket.receive_json())["status"]
        return status

    async def conversation(socket: aiohttp.ClientWebSocketResponse) -> tuple[int, int | None]:
        assert await send(socket) == 202
        platform.store.revoke(issued.record.id)
        async with asyncio.timeout(5):
            while (status := await send(socket)) == 202:
                await asyncio.sleep(0.1)
        closed = await socket.receive()
        assert closed.type is aiohttp.WSMsgType.CLOSE
        return status, closed.data

    assert talk(platform, issued.text, conversation) == (401, 1008)
    refused = next(sequences) - 1
    assert [row["sequence"] for row in platform.frames()] == list(range(1, refused))


def test_more_messages_than_may_wait_are_all_answered(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    n = 10 * IN_FLIGHT

    async def conversation(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
        async def send() -> None:
            for i in range(n):
                await socket.send_str(text(f"m{i}", frame(sequence=i)))

        sending = asyncio.create_task(send())
        received = [await socket.receive_json() for _ in range(n)]
        await sending
        return received

    received = talk(platform, platform.key("north", "ingest"), conversation)
    assert {answer["id"] for answer in received} == {f"m{i}" for i in range(n)}
    assert sum(answer["accepted"] for answer in received) == n == len(platform.frames())
    assert len(platform.submissions) < n / 2


def test_what_was_sent_before_the_client_left_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    platform = StandIn(tmp_path)

    async def conversation(socket: aiohttp.ClientWebSocketResponse) -> None:
        for i in range(20):
            await socket.send_str(text(f"m{i}", frame(sequence=i)))

    talk(platform, platform.key("north", "ingest"), conversation)
    assert sorted(row["sequence"] for row in platform.frames()) == list(range(20))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_connection_can_be_all_backfill(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    found = talk(
        platform,
        platform.key("north", "ingest"),
        lambda socket: answers(socket, text("1", frame())),
        X_Canfleet_Lane="backfill",
    )
    assert found["1"]["status"] == 202
    assert [lane.name for lane in platform.lanes] == ["BACKFILL"]
