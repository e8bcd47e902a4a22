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
from pipeline.config import CanfleetConfig
from pipeline.descriptors import reserve_descriptors
from pipeline.frames.body import warm
from pipeline.heap import freeze_heap
from pipeline.logs.handler import set_up_logs
from pipeline.metrics import DROPPED_SPANS
from pipeline.tracing.tracing import tracing_of
from serve.access_log import AccessLog
from serve.busy import Busy
from serve.gateway import Door, FramesEndpoint
from serve.logs import LogsEndpoint
from serve.measure import measure, measure_cache, measure_letters, measure_stream, measured
from serve.platform import Platform
from serve.query import build_query_app
from serve.request_id import distrust
from serve.stream import StreamEndpoint

_SWITCH_S: Final = 0.0005
"""How long a thread that parses may keep the interpreter from the event loop: Python's 5 ms add up in a request."""
Connect = Callable[[], Awaitable[Platform]]
"""Finds the platform; called once, inside a replica."""


@serve.ingress()
class Gateway:
    """`/v1/frames` and `/v1/stream`, whose frames share batches."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform, and compile the kernels that bodies need."""
        sys.setswitchinterval(_SWITCH_S)
        reserve_descriptors()
        self._platform = await connect()
        set_up_logs(self._platform.config.logging, "gateway")
        self._busy = Busy()
        warm()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """By which Serve scales, where it does: see `serve.busy`."""
        return self._busy.stats()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application Serve runs in this replica."""
        door, metrics = Door(self._platform), Metrics()
        frames, stream = FramesEndpoint(door), StreamEndpoint(door)
        measure(frames, metrics)
        measure_stream(stream, metrics)
        measure_letters(door.taker.room, metrics)
        tracing = tracing_of(self._platform.config.tracing)
        tracing.on_dropped = lambda spans: metrics.add(DROPPED_SPANS, (), spans)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await (stream if scope["type"] == "websocket" else frames)(scope, receive, send)

        return _under_serve(app, self._platform.config)


@serve.ingress()
class Logs:
    """`/v1/logs`."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform."""
        reserve_descriptors()
        self._platform = await connect()
        set_up_logs(self._platform.config.logging, "logs")

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application Serve runs in this replica."""
        logs, metrics = LogsEndpoint(self._platform), Metrics()
        measure(logs, metrics)
        measure_letters(logs.room, metrics)
        return _under_serve(logs, self._platform.config)


@serve.ingress()
class Query:
    """Everything else."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform."""
        reserve_descriptors()
        self._platform = await connect()
        set_up_logs(self._platform.config.logging, "query")
        self._busy = Busy()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """By which Serve scales, where it does: see `serve.busy`."""
        return self._busy.stats()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application Serve runs in this replica."""
        app, metrics = build_query_app(self._platform), Metrics()
        measure_cache(app.state.context.cache, metrics)
        return _under_serve(measured(app, metrics), self._platform.config)


def _under_serve(app: ASGIApp, config: CanfleetConfig) -> ASGIApp:
    """`app` without its own `X-Request-Id`: Serve adds the same one to every answer, and it must not stand twice.

    Around it stands the access log, where one is asked for.
    """
    check_address = distrust(config.server.trusted_proxies)
    if config.server.access_log is not None:
        app = AccessLog(config.server.access_log, config.data_dir).around(app)
    # The application is whole here, with the databases it has read, and no request has come.
    freeze_heap()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [header for header in message["headers"] if header[0] != b"x-request-id"]
            await send(message)

        if scope["type"] != "lifespan":
            check_address(scope)
        await app(scope, receive, send_without)

    return wrapped
