"""Every endpoint over ASGI: no input is a fault of ours, and every refusal is one that the API describes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson
from starlette.types import Message, Receive

from serve.problems import MEDIA_TYPE, TYPE_PREFIX
from tests.fuzz.front_door import FrontDoor
from tests.fuzz.http_requests import HttpRequest, request
from tests.fuzz.target import BrokenPromise, Target

_FRESH_AFTER: Final = 1_000
"""Inputs on one stand-in: keys that were made and revoked add up."""
_MEMBERS: Final = {"type": str, "title": str, "status": int, "detail": str, "instance": str}
_UNROUTED: Final = (404, 405)


class HttpTarget(Target):
    """Sends requests. An input is a JSON list of requests that are under way at the same time."""

    seconds = 4.0

    def __init__(self) -> None:
        """Open the door on a stand-in."""
        self._runner = asyncio.Runner()
        self._tried = 0
        self._open()

    def close(self) -> None:
        """Cancel what still waits, and leave no file behind."""
        self._runner.close()
        self._shut()

    def make(self, random: Random) -> bytes:
        """One to four requests."""
        count = random.choice((1, 1, 1, 2, 4))
        requests = [request(random, self._door.document, tuple(self._door.keys)) for _ in range(count)]
        return json.dumps([one.as_json() for one in requests]).encode()

    def attempt(self, body: bytes) -> None:
        """Send them, and hold each answer against the description."""
        self._tried += 1
        if self._tried % _FRESH_AFTER == 0:
            self._runner.close()
            self._shut()
            self._runner = asyncio.Runner()
            self._open()
        self._door.forget()
        self._runner.run(self._all([HttpRequest.from_json(one) for one in json.loads(body)]))

    def _open(self) -> None:
        self._folder = TemporaryDirectory(prefix="canfleet-fuzz-")
        self._door = FrontDoor(Path(self._folder.name))
        self._paths = [
            (re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path), re.DOTALL), methods)
            # A path that is written out goes before one with a parameter in the same place.
            for path, methods in sorted(self._door.document["paths"].items(), key=lambda item: "{" in item[0])
        ]

    def _shut(self) -> None:
        self._door.close()
        self._folder.cleanup()

    async def _all(self, requests: Sequence[HttpRequest]) -> None:
        await asyncio.gather(*(self._one(one) for one in requests))

    async def _one(self, one: HttpRequest) -> None:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(name.encode("latin-1", "replace"), self._header(value)) for name, value in one.headers]
        scope = {
            "type": "http",
            "method": one.method,
            "path": one.path,
            "raw_path": one.path.encode("utf-8", "replace"),
            "query_string": one.query.encode("latin-1", "replace"),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
        }
        await self._door(scope, _receiver(one), send)
        if not sent:
            if not one.gone:
                raise BrokenPromise(f"no answer to {one.method} {one.path}")
            return
        status = int(sent[0]["status"])
        if status == 500:
            raise BrokenPromise(f"{one.method} {one.path[:80]} is answered with 500") from self._door.fault
        self._check(one, status, sent)

    def _header(self, value: str) -> bytes:
        """A header's value, with the key in it where one is named."""
        for name, key in self._door.keys.items():
            value = value.replace(f"{{{name}}}", key)
        return value.encode("latin-1", "replace")

    def _check(self, one: HttpRequest, status: int, sent: list[Message]) -> None:
        named = f"{one.method} {one.path[:80]} is answered with {status}"
        known = self._documented(one)
        if known is not None and str(status) not in known:
            raise BrokenPromise(f"{named}, which the description lacks")
        if status < 400:
            return
        if known is None and status not in (*_UNROUTED, 401, 429):
            raise BrokenPromise(f"{named}, though there is nothing")
        headers = dict(sent[0]["headers"])
        problem = orjson.loads(b"".join(message.get("body", b"") for message in sent[1:]) or b"null")
        if one.method != "HEAD" and not _is_problem(problem, status, headers.get(b"content-type", b"").decode()):
            raise BrokenPromise(f"{named}, and the body is {problem}")
        if status in (429, 503) and not headers.get(b"retry-after", b"").isdigit():
            raise BrokenPromise(f"{named} without Retry-After")

    def _documented(self, one: HttpRequest) -> set[str] | None:
        """The statuses that the description knows for a request; None where it knows no such operation."""
        path = one.path.rstrip("/") if one.path.startswith(("/v1/frames", "/v1/logs")) else one.path
        for pattern, methods in self._paths:
            if pattern.fullmatch(path) and one.method.lower() in methods:
                return set(methods[one.method.lower()]["responses"])
        return None


def _is_problem(problem: Any, status: int, content_type: str) -> bool:
    return (
        content_type == MEDIA_TYPE
        and isinstance(problem, dict)
        and all(isinstance(problem.get(name), kind) for name, kind in _MEMBERS.items())
        and problem["status"] == status
        and problem["type"].startswith(TYPE_PREFIX)
    )


def _receiver(one: HttpRequest) -> Receive:
    """What the server hands over: the body in two pieces, then word that the client has gone."""
    half = len(one.body) // 2
    messages: list[Message] = [
        {"type": "http.request", "body": one.body[:half], "more_body": True},
        {"type": "http.request", "body": one.body[half:], "more_body": False},
    ]
    if one.gone:
        messages.pop()

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    return receive
