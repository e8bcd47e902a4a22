"""What of the query API counts towards the objective."""

from __future__ import annotations

import asyncio

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from actors.metrics import Metrics
from pipeline.metrics import ANSWER_SECONDS, REFUSED_REQUESTS, Metric
from serve.measure import PROBES, measured


class Told(Metrics):
    """Notes what is told, and tells Ray nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Metric, tuple[str, ...]]] = []

    def add(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        assert value == 1
        self.told.append((metric, labels))

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        assert 0 <= value < 60
        self.told.append((metric, labels))


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("", int(request.path_params.get("status", 503)))


def test_answers_count_once_by_status_and_probes_do_not() -> None:
    told = Told()
    routes = [Route("/v1/{status}", answer), *(Route(path, answer) for path in PROBES)]
    transport = httpx.ASGITransport(measured(Starlette(routes=routes), told))

    async def ask() -> None:
        async with httpx.AsyncClient(transport=transport, base_url="http://canfleet") as client:
            for path in ("/v1/200", *PROBES, "/v1/503", "/v1/404", "/nowhere"):
                await client.get(path)

    asyncio.run(ask())
    assert told.told == [
        (ANSWER_SECONDS, ()),
        (REFUSED_REQUESTS, ("query", "503")),
        (REFUSED_REQUESTS, ("query", "404")),
        (REFUSED_REQUESTS, ("query", "404")),
    ]
