"""The three applications behind one address, as the proxy joins them."""

from __future__ import annotations

from typing import Any

from starlette.types import Receive, Scope, Send

from serve.gateway import Door, FramesEndpoint
from serve.logs import LogsEndpoint
from serve.platform import Platform
from serve.query import build_query_app


class Joined:
    """One ASGI application of gateway, logs and queries before `platform`."""

    def __init__(self, platform: Platform) -> None:
        self.query = build_query_app(platform)
        self.document: dict[str, Any] = self.query.openapi()
        self._frames = FramesEndpoint(Door(platform))
        self._logs = LogsEndpoint(platform)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection by the application that its path belongs to."""
        path = scope.get("path", "")
        if path.startswith(("/v1/frames", "/v1/stream")):
            await self._frames(scope, receive, send)
        elif path.startswith("/v1/logs"):
            await self._logs(scope, receive, send)
        else:
            await self.query(scope, receive, send)
