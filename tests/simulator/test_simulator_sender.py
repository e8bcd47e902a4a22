from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pyarrow as pa
import pytest
from simulator_platform import KEY, Platform

from pipeline.errors import CanfleetError
from simulator.body import Body, bodies
from simulator.fleet import Fleet
from simulator.injections import Injections
from simulator.latency import LatencyHistogram
from simulator.run import run_fleet
from simulator.sender import Results, Retry, Sender

SECOND = 1_000_000
QUICK = Retry(first_s=0.01, longest_s=0.05, give_up_s=5.0)


def some_bodies(count: int = 3, *, zstd: bool = False) -> list[Body]:
    fleet = Fleet(10)
    return list(bodies(fleet.tick(fleet.start_us + count * SECOND), 50, zstd=zstd))


def deliver(
    platform: Platform, made: list[Body], key: str = KEY, retry: Retry = QUICK, connections: int = 2
) -> Results:
    async def go() -> Results:
        async with Sender(platform.url, key, connections=connections, retry=retry) as sender:
            for body in made:
                await sender.submit(body)
            return await sender.finish()

    return asyncio.run(go())


def test_everything_arrives_once(platform: Platform):
    made = some_bodies(4)
    results = deliver(platform, made)
    assert sorted(platform.bodies) == sorted(body.content for body in made)
    assert results.sent == results.acknowledged == results.accepted == 200
    assert results.complete
    assert results.retries == results.refused == results.duplicates == 0
    assert 0.0 < results.latency.quantile(0.5) <= results.latency.largest_s


def test_compressed_bodies_are_the_same_frames(platform: Platform):
    deliver(platform, some_bodies(2, zstd=True))
    assert sorted(platform.bodies) == sorted(body.content for body in some_bodies(2))


def test_a_large_body_arrives_whole(platform: Platform):
    fleet = Fleet(100)
    (body,) = bodies(fleet.tick(fleet.start_us + 60 * SECOND), 30_000)
    assert len(body.content) > 1 << 20
    platform.mishaps = [503]
    assert deliver(platform, [body]).accepted == 30_000
    assert platform.bodies == [body.content]
    assert platform.arrivals == [body.content] * 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_refused_body_is_sent_again_unchanged_after_the_time_asked_for(platform: Platform, status: int):
    platform.mishaps = [status]
    (body, *_) = some_bodies(1)
    before = time.monotonic()
    results = deliver(platform, [body])
    assert time.monotonic() - before >= 0.2
    assert platform.arrivals == [body.content] * 2
    assert (results.refused, results.retries, results.accepted) == (1, 1, 50)


def test_a_lost_answer_makes_duplicates_and_loses_nothing(platform: Platform):
    platform.mishaps = ["drop"]
    results = deliver(platform, some_bodies(1), connections=1)
    assert results.complete
    assert results.retries == 1
    assert results.duplicates == 50
    assert len({body.content for body in some_bodies(1)} - set(platform.bodies)) == 0


def test_a_server_error_is_tried_again_and_then_given_up(platform: Platform):
    platform.mishaps = [500] * 1000
    results = deliver(platform, some_bodies(1), retry=Retry(first_s=0.01, longest_s=0.02, give_up_s=0.5))
    assert not results.complete
    assert results.failed == 50
    assert "500: try later" in str(results.problem)


def test_a_refused_key_ends_it_at_once(platform: Platform):
    with pytest.raises(CanfleetError, match="401: no valid key"):
        deliver(platform, some_bodies(20), key="wrong")
    assert len(platform.arrivals) <= 4
    assert platform.bodies == []


def test_a_server_that_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def go(act: Callable[[Sender], Awaitable[object]]) -> None:
        async with Sender(f"http://127.0.0.1:{port}", KEY, retry=Retry(0.01, 0.02, 0.1)) as sender:
            await act(sender)

    with pytest.raises(CanfleetError, match="does not answer"):
        asyncio.run(go(lambda sender: sender.check()))

    async def send(sender: Sender) -> None:
        await sender.submit(some_bodies(1)[0])
        results = await sender.finish()
        assert results.failed == 50
        assert not results.complete

    asyncio.run(go(send))


def test_a_fleet_in_real_time_sends_what_it_would_make_at_once(platform: Platform):
    injections = Injections(duplicates=0.1, late=0.2)
    start_us = time.time_ns() // 1_000
    live = Fleet(40, 10.0, seed=4, injections=injections, start_us=start_us)
    seen: list[float] = []

    async def go() -> Results:
        async with Sender(platform.url, KEY) as sender:
            return await run_fleet(
                live, sender, duration_s=1.0, frames_per_s=400, batch=100, progress=lambda at, _: seen.append(at)
            )

    results = asyncio.run(go())
    assert time.time_ns() // 1_000 - start_us >= 0.99 * SECOND
    same = Fleet(40, 10.0, seed=4, injections=injections, start_us=start_us)
    batches = [same.tick(start_us + SECOND), same.drain()]
    expected = pa.Table.from_batches(batches).to_pylist()
    key = lambda row: (row["vehicle_id"], row["sequence"])  # noqa: E731
    assert sorted(platform.rows(), key=key) == sorted(expected, key=key)
    assert results.sent == len(expected) == live.frames + live.duplicates
    assert results.accepted == live.frames == 400
    assert results.duplicates == live.duplicates > 0
    assert all(table.num_rows <= 100 for table in platform.frames())
    assert len(seen) >= 5


def test_a_stopped_fleet_settles_what_it_made(platform: Platform):
    live = Fleet(20, start_us=time.time_ns() // 1_000, injections=Injections(late=0.5))

    async def go() -> Results:
        stop = asyncio.Event()
        async with Sender(platform.url, KEY) as sender:
            return await run_fleet(
                live, sender, duration_s=0.0, frames_per_s=100, stop=stop, progress=lambda at, _: stop.set()
            )

    results = asyncio.run(go())
    assert results.complete
    assert results.accepted == live.frames > 0


def test_a_histogram_is_right_within_two_percent():
    rng = np.random.default_rng(1)
    seconds = rng.lognormal(-5.0, 1.5, 20_000)
    histogram = LatencyHistogram()
    assert histogram.quantile(0.5) == 0.0
    for second in seconds:
        histogram.record(float(second))
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = np.quantile(seconds, share, method="inverted_cdf")
        assert exact * 0.9999 <= histogram.quantile(share) <= exact * 1.0201
    weighted = LatencyHistogram()
    weighted.record(0.001, 99)
    weighted.record(1.0, 1)
    assert weighted.quantile(0.99) < 0.0011
    assert weighted.summary_ms()["max"] == 1000.0
