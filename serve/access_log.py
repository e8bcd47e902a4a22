"""One line of JSON for each answered request: who asked for what, how it went, how long it took.

A line holds no key, no address of a single client, no query string and no part of a path that names a vehicle or a
signal; the request id is the caller's own where it sent one. What HAProxy answers by itself is in its metrics alone.

A request costs its replica some ten microseconds: lines are gathered, made and written by a thread, twice a second. A
replica that is killed takes those of the last half second with it; a disk that is full costs lines, never requests.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import time
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.config import AccessLogSettings
from pipeline.keys.record import KeyRecord
from serve.access import caller
from serve.request_id import address_of, traceparent_of

GATHER_S: Final = 0.5
MAX_WAITING: Final = 20_000
"""Lines that may wait to be written; the ones beyond are counted and let go."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OUTSIDE_FASTAPI: Final = frozenset({"/v1/frames", "/v1/logs", "/v1/stream"})
_log: Final = logging.getLogger("canfleet.serve")


class AccessLog:
    """The log of one replica; all of a machine share the file."""

    def __init__(self, settings: AccessLogSettings, folder: Path) -> None:
        """Write where `settings` say, a relative path meaning one in `folder`."""
        self._path = folder / settings.path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._waiting: list[_Entry] = []
        self._let_go = 0
        self._writing: asyncio.Task[None] | None = None

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app`, with a line for each request that is picked."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan" or random.random() >= self._settings.sample:
                await app(scope, receive, send)
                return
            entry = _Entry(scope, receive, send)
            caller.set(None)
            try:
                await app(scope, entry.receive, entry.send)
            finally:
                entry.done(caller.get())
                self._take(entry)

        return wrapped

    def _take(self, entry: _Entry) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._let_go += 1
            return
        self._waiting.append(entry)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            entries, self._waiting = self._waiting, []
            let_go, self._let_go = self._let_go, 0
            try:
                await asyncio.to_thread(self._write, entries, let_go)
            except OSError as error:
                _log.warning("%d lines of the access log are lost: %s: %s", len(entries), self._path, error.strerror)

    def _write(self, entries: list[_Entry], let_go: int) -> None:
        """Append lines, and turn the file over when it is full. Replicas take turns by the file's lock."""
        lines = [entry.line() for entry in entries]
        if let_go:
            lines.append(orjson.dumps({"time": _text(time.time()), "let_go": let_go}, option=orjson.OPT_APPEND_NEWLINE))
        with self._path.open("ab", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b"".join(lines))
            # Another replica may have turned it over while this one waited for its turn: then this is the old file.
            if file.tell() >= self._settings.max_bytes and os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                self._path.replace(f"{self._path}.1")


class _Entry:
    """What is noted of one request while it goes through; `receive` and `send` are what the application gets."""

    __slots__ = ("_began", "_in", "_key", "_out", "_receive", "_request_id", "_scope", "_send", "_status", "_took")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = time.time()
        self._took = time.monotonic()
        self._key: KeyRecord | None = None
        self._request_id: bytes | None = None
        self._status: int | None = None
        self._in = self._out = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._in += _size(message)
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind.endswith(("response.start", "websocket.accept")):
            self._status = message.get("status", 101)
            self._request_id = next((v for k, v in message.get("headers", ()) if k == b"x-request-id"), None)
        elif kind == "websocket.close" and self._status is None:
            self._status = 403
        else:
            self._out += _size(message)
        await self._send(message)

    def done(self, key: KeyRecord | None) -> None:
        self._key = key
        self._took = time.monotonic() - self._took

    def line(self) -> bytes:
        scope, key = self._scope, self._key
        headers = dict(scope["headers"])
        method = scope.get("method", "GET")
        trace = traceparent_of(headers)
        entry = {
            "time": _text(self._began),
            "method": method if method in _METHODS else "OTHER",
            "path": _template(scope),
            "status": self._status,
            "bytes_in": self._in,
            "bytes_out": self._out,
            "duration_ms": round(self._took * 1e3, 3),
            "request_id": None if self._request_id is None else self._request_id.decode("latin-1"),
            "fleet": None if key is None else key.fleet,
            "key": None if key is None else key.id,
            "client": network_of(address_of(headers, scope)),
            "trace_id": None if trace is None else trace.split("-")[1],
        }
        return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


@lru_cache(4096)
def network_of(address: str) -> str | None:
    """The network that `address` lies in, of 24 bits, or 48 of IPv6: enough to see where from, not who."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return f"{IPv6Address(int(parsed) >> 80 << 80)}/48"
    return f"{IPv4Address(int(parsed) & 0xFFFFFF00)}/24"


def _template(scope: Scope) -> str | None:
    """The path as the API describes it, `/v1/vehicles/{vehicle_id}/latest`; None where there is nothing."""
    route = scope.get("route")
    if route is not None:
        return str(route.path)
    path = scope["path"].rstrip("/")
    return path if path in _OUTSIDE_FASTAPI else None


def _size(message: Message) -> int:
    return len(message.get("body") or message.get("bytes") or message.get("text") or b"")


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
