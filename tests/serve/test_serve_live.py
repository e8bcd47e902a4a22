"""The live feed over a real socket: events reach their fleet, slow readers go, and nothing runs when nobody listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from serve_stand_in import StandIn, bearer

from serve.live import QUEUED_BYTES, LiveFeed, Subscriber, event
from serve.query import build_query_app


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


async def first(feed: AsyncIterator[tuple[str, dict[str, Any]]], name: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return await anext(data async for found, data in feed if found == name)


@pytest.fixture
def platform(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def test_a_summary_comes_at_once_and_anomalies_reach_their_fleet_alone(platform: StandIn) -> None:
    async def scenario() -> None:
        app = build_query_app(platform)
        async with served(app) as url, httpx.AsyncClient(base_url=url) as http:
            key = bearer(platform.key("north", "query"))
            async with http.stream("GET", "/v1/live", headers=key) as answer:
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("text/event-stream")
                feed = events(answer)
                data = await first(feed, "summary")
                assert data["fleet"] == "north"
                assert data["frames_per_second"] is None
                await platform.listening.wait()
                await platform.announce({"fleet": "south", "kind": "stuck", "n": 1})
                await platform.announce({"fleet": "north", "kind": "stuck", "n": 2})
                assert (await first(feed, "anomaly"))["n"] == 2
                # A second summary comes by itself.
                assert (await first(feed, "summary"))["fleet"] == "north"
            live: LiveFeed = app.state.context.live
            while live._tasks:
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_a_reader_that_lags_is_dropped_with_a_word(platform: StandIn) -> None:
    async def scenario() -> list[bytes]:
        subscriber = Subscriber("north")
        message = event("anomaly", {"n": 1})
        for _ in range(QUEUED_BYTES // len(message) + 2):
            subscriber.put(message)
        return [message async for message in subscriber.messages()]

    [last] = asyncio.run(scenario())
    assert last.startswith(b": dropped")


def test_a_whole_fleet_that_goes_silent_drops_nobody(platform: StandIn) -> None:
    silent = 20_000

    async def scenario() -> int:
        stream = LiveFeed(platform).stream("north", b"")
        await anext(stream)
        await platform.listening.wait()
        for n in range(silent):
            platform.log.append({"fleet": "north", "kind": "missing_message", "n": n, "detail": "x" * 200})
        await platform.announce({"fleet": "south", "kind": "missing_message", "n": -1})
        seen = 0
        async with asyncio.timeout(10):
            while seen < silent:
                message = await anext(stream)
                assert b"dropped" not in message
                seen += message.count(b"missing_message")
        await stream.aclose()  # type: ignore[attr-defined]
        return seen

    assert asyncio.run(scenario()) == silent


def test_the_feed_goes_on_after_the_platform_was_away(platform: StandIn) -> None:
    async def scenario() -> None:
        calls = 0
        real = platform.events

        async def flaky(cursors: dict[int, int], timeout_s: float) -> Any:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise ConnectionError("away")
            return await real(cursors, timeout_s)

        platform.events = flaky  # type: ignore[method-assign]
        stream = LiveFeed(platform).stream("north", b"")
        assert (await anext(stream)).startswith(b"retry:")
        await platform.listening.wait()
        await platform.announce({"fleet": "north", "kind": "flood"})
        async with asyncio.timeout(10):
            while b"flood" not in await anext(stream):
                pass
        await stream.aclose()

    asyncio.run(scenario())
