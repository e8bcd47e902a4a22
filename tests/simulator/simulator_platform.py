"""A real HTTP server on loopback that records what it is sent, and misbehaves when told to."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
import uvicorn
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

KEY = "test-key"


@dataclass
class Platform:
    """What clients sent. `mishaps` are taken one per request: a status to answer, or `drop` for no answer at all."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    arrivals: list[bytes] = field(default_factory=list)
    mishaps: list[int | str] = field(default_factory=list)
    seen: set[tuple[Any, ...]] = field(default_factory=set)

    def frames(self) -> list[pa.Table]:
        return [pa.ipc.open_stream(body).read_all() for body in self.bodies]

    def rows(self) -> list[dict[str, Any]]:
        return [row for table in self.frames() for row in table.to_pylist()]

    async def post(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("Content-Encoding") == "zstd":
            body = zstandard.decompress(body)
        self.arrivals.append(body)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return JSONResponse({"title": "Unauthorized", "detail": "no valid key"}, 401)
        mishap = self.mishaps.pop(0) if self.mishaps else None
        if mishap == "drop":
            # Half an answer, then the connection goes: the client cannot know whether the frames were kept.
            self._keep(body)
            request.scope["extensions"]["drop"]()
        elif isinstance(mishap, int):
            return JSONResponse({"title": "Busy", "detail": "try later"}, mishap, {"Retry-After": "0.2"})
        return JSONResponse(self._keep(body), 202)

    def _keep(self, body: bytes) -> dict[str, int]:
        self.bodies.append(body)
        rows = pa.ipc.open_stream(body).read_all().to_pylist()
        accepted = 0
        for row in rows:
            identity = (
                (row["vehicle_id"], row["session"], row["sequence"])
                if row.get("sequence") is not None
                else (row["vehicle_id"], row["timestamp"], row["channel"], row["arbitration_id"], row["data"])
            )
            accepted += identity not in self.seen
            self.seen.add(identity)
        return {"received": len(rows), "accepted": accepted, "duplicates": len(rows) - accepted, "dead_lettered": 0}


class _Protocol(H11Protocol):
    """Lets a handler abort its connection, as a crashing server does."""

    def handle_events(self) -> None:
        super().handle_events()
        if self.scope is not None:
            self.scope.setdefault("extensions", {})["drop"] = self.transport.abort


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = Platform()
    routes = [
        Route("/v1/frames", made.post, methods=["POST"]),
        Route("/healthz", lambda _: JSONResponse({"status": "live"})),
    ]
    listener = socket.create_server(("127.0.0.1", 0))
    made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(Starlette(routes=routes), http=_Protocol, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    yield made
    server.should_exit = True
    thread.join()
    listener.close()
