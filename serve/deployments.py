"""The three Serve deployments: each finds the platform in its replica and puts one ASGI application in front of it.

Their constructors are coroutines, which Serve awaits, since finding the platform is one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from ray import serve

from pipeline.frames.body import warm
from serve.gateway import FramesEndpoint
from serve.logs import LogsEndpoint
from serve.platform import Platform
from serve.query import build_query_app

Connect = Callable[[], Awaitable[Platform]]
"""Finds the platform; called once, inside a replica."""


@serve.ingress()
class Gateway:
    """`/v1/frames`."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform, and compile the kernels that bodies need."""
        self._platform = await connect()
        warm()

    def __serve_build_asgi_app__(self) -> FramesEndpoint:
        """The application Serve runs in this replica."""
        return FramesEndpoint(self._platform)


@serve.ingress()
class Logs:
    """`/v1/logs`."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform."""
        self._platform = await connect()

    def __serve_build_asgi_app__(self) -> LogsEndpoint:
        """The application Serve runs in this replica."""
        return LogsEndpoint(self._platform)


@serve.ingress()
class Query:
    """Everything else."""

    async def __init__(self, connect: Connect) -> None:  # type: ignore[misc]
        """Find the platform."""
        self._platform = await connect()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application Serve runs in this replica."""
        return build_query_app(self._platform)
