"""Bodies that trickle: refused with 408 when they fall behind, at every endpoint; steady ones may take their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from serve_stand_in import BOOTSTRAP, StandIn, bearer, check_problem, client

import serve.steady
from serve.gateway import Door, FramesEndpoint
from serve.logs import LogsEndpoint
from serve.problems import ProblemError
from serve.query import build_query_app
from serve.steady import SteadyBody


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(serve.steady, "GRACE_S", 0.3)


async def trickle(pieces: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(pieces):
        yield b" " * size
        await asyncio.sleep(0.05)


def post(app, path, body, **headers):
    async def send():
        async with client(app) as http:
            return await http.post(path, content=body, headers=bearer(BOOTSTRAP) | headers)

    return asyncio.run(send())


def test_every_endpoint_gives_up_on_a_body_that_trickles(tmp_path):
    stand_in = StandIn(tmp_path)
    for app, path in (
        (FramesEndpoint(Door(stand_in)), "/v1/frames"),
        (LogsEndpoint(stand_in), "/v1/logs?vehicle_id=v&filename=a.log"),
        (build_query_app(stand_in), "/v1/keys"),
    ):
        problem = check_problem(
            post(app, path, trickle(100, 2), **{"Content-Type": "application/json"}), 408, "request-timeout"
        )
        assert "bytes of the body came in" in problem["detail"]
        assert stand_in.submissions == []


def test_a_refusal_for_slowness_ends_the_connection_and_frees_what_was_held(tmp_path):
    door = Door(StandIn(tmp_path))
    answer = post(FramesEndpoint(door), "/v1/frames", trickle(100, 2), **{"Content-Type": "application/json"})
    assert answer.headers["connection"] == "close"
    assert door.taker.budget.used == 0


def test_a_steady_body_may_take_longer(tmp_path):
    answer = post(
        FramesEndpoint(Door(StandIn(tmp_path))),
        "/v1/frames",
        trickle(20, 100),
        **{"Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 202


def test_what_comes_after_the_body_may_be_awaited_for_ever():
    async def run() -> None:
        waiting = asyncio.Event()
        first = True

        async def receive():
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": b"x", "more_body": False}
            await waiting.wait()
            return {"type": "http.disconnect"}

        steady = SteadyBody(receive)
        await steady()
        leaves = asyncio.create_task(steady())
        await asyncio.sleep(0.6)
        assert not leaves.done()
        waiting.set()
        assert (await leaves)["type"] == "http.disconnect"

    asyncio.run(run())


def test_silence_counts():
    async def run() -> None:
        with pytest.raises(ProblemError) as refused:
            await SteadyBody(asyncio.Event().wait)()
        assert refused.value.problem.status == 408

    asyncio.run(run())
