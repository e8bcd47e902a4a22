"""The three Serve deployments: each finds the platform in its replica and puts one ASGI application in front of it.

Their constructors are coroutines, which Serve awaits, since finding the platform is one.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Final

from ray import serve
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.metrics import Metrics
from pipeline.descriptors import reserve_descriptors
from pipeline.frames.body import warm
from pipeline.heap import freeze_heap
from serve.asgi import PostEndpoint
from serve.gateway import Door, FramesEndpoint
from serve.logs import LogsEndpoint
from serve.measure import measure
from serve.platform import Platform
from serve.query import build_query_app

_SWITCH_S: Final = 0.0005
"""How long a thread that parses may keep the interpreter from the event loop: Python's 5 ms add up in a request."""
Connect = Callable[[], Awaitable[Platform]]
"""Finds the platform; called once, inside a replica."""


@serve.ingress()
class Gateway:
    """`/v1/frames`."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform, and compile the kernels that bodies need."""
        sys.setswitchinterval(_SWITCH_S)
        reserve_descriptors()
        self._platform = await connect()
        warm()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application Serve runs in this replica."""
        return _measured(FramesEndpoint(Door(self._platform)))


@serve.ingress()
class Logs:
    """`/v1/logs`."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform."""
        reserve_descriptors()
        self._platform = await connect()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application Serve runs in this replica."""
        return _measured(LogsEndpoint(self._platform))


@serve.ingress()
class Query:
    """Everything else."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform."""
        reserve_descriptors()
        self._platform = await connect()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application Serve runs in this replica."""
        return _under_serve(build_query_app(self._platform))


def _measured(endpoint: PostEndpoint) -> ASGIApp:
    measure(endpoint, Metrics())
    return _under_serve(endpoint)


def _under_serve(app: ASGIApp) -> ASGIApp:
    """`app` without its own `X-Request-Id`: Serve adds the same one to every answer, and it must not stand twice."""

    # The application is whole here, with the databases it has read, and no request has come.
    freeze_heap()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [header for header in message["headers"] if header[0] != b"x-request-id"]
            await send(message)

        await app(scope, receive, send_without)

    return wrapped
