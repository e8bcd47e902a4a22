"""`GET /v1/stream`: a WebSocket on which a vehicle stays connected and has each of its messages acknowledged.

A text message is its id on the first line and frames as NDJSON on the others. A binary message is its id as eight
bytes, little-endian, and frames as an Arrow IPC stream. The answer to each is a text message, a JSON object with that
`id` and `status`: 202 with the counts of `POST /v1/frames` once the frames are durable, or the members of the problem
that a request would have been answered with, and `retry_after` in seconds where it had `Retry-After`. Answers come in
the order in which messages are done.

No deployment has it yet: Serve's thread for the application reads a connection without end into a queue of its own,
however slowly its messages are taken, so what a client sends has no bound there (docs/decisions/small-requests.md).
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import asdict
from typing import Any, Final

import orjson
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from pipeline.errors import BodyTooLarge
from pipeline.frames.body import ARROW, NDJSON
from serve.asgi import Request
from serve.faults import problem_of
from serve.gateway import Door
from serve.problems import MEDIA_TYPE, TYPE_PREFIX, Problem, ProblemError, bad_request, not_found
from serve.taking import Message

PATH: Final = "/v1/stream"
IN_FLIGHT: Final = 64
"""Messages of one connection that may wait for their answer; more are not read from the socket."""
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_POLICY_VIOLATION: Final = 1008
_DENIAL: Final = "websocket.http.response"


class StreamEndpoint:
    """The ASGI application of WebSocket connections."""

    def __init__(self, door: Door) -> None:
        """Let senders in by `door`."""
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until the client leaves."""
        request = Request(scope, receive)
        await receive()  # websocket.connect
        try:
            if scope["path"].rstrip("/") != PATH:
                raise ProblemError(not_found(f"there is no stream at {scope['path']}"))
            await self._door.sender(request)
        except Exception as error:  # noqa: BLE001 (the boundary: faults.problem_of tells and logs all of them)
            await _deny(scope, send, problem_of(error, request.id), request.id)
            return
        await send({"type": "websocket.accept", "headers": [(b"x-request-id", request.id.encode())]})
        await _Connection(self._door, request, receive, send).serve()


class _Connection:
    """One vehicle that stays connected."""

    def __init__(self, door: Door, request: Request, receive: Receive, send: Send) -> None:
        self._door = door
        self._request = request
        self._receive = receive
        self._send = send
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._open = True

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as answering:
            while self._open:
                await self._room.acquire()
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    self._open = False
                else:
                    answering.create_task(self._answer(message, time.time_ns() // 1000))

    async def _answer(self, message: AsgiMessage, received_at: int) -> None:
        """Take one message and say what became of it. What was taken stays so where nobody waits for the answer."""
        message_id: str | None = None
        try:
            try:
                message_id, body, content_type = _parts(message)
                answer = {"id": message_id, "status": 202, **await self._take(body, content_type, received_at)}
            except Exception as error:  # noqa: BLE001 (the boundary: faults.problem_of tells and logs all of them)
                problem = problem_of(error, self._request.id)
                answer = _refusal(message_id, problem)
                if problem.status == 401:
                    await self._close(answer)
                    return
            await self._say(answer)
        finally:
            self._room.release()

    async def _take(self, body: bytes, content_type: str, received_at: int) -> dict[str, Any]:
        door, request = self._door, self._request
        if len(body) > door.taker.max_body_bytes:
            raise BodyTooLarge(
                f"the message has {len(body):,} bytes, the bound is {door.taker.max_body_bytes:,}: send less at a time"
            )
        # Again for each message: a key that is revoked or has ended meanwhile opens nothing.
        sender = await door.sender(request)
        await door.rates.request(sender.caller, sender.unit)
        with door.taker.budget.hold(len(body)) as held:
            taken = Message(body, content_type, None, received_at, request.id)
            return asdict(await door.taker.take(sender, taken, held))

    async def _close(self, answer: dict[str, Any]) -> None:
        await self._say(answer)
        if self._open:
            self._open = False
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "the key is not valid"})

    async def _say(self, answer: dict[str, Any]) -> None:
        if not self._open:
            return
        try:
            await self._send({"type": "websocket.send", "text": orjson.dumps(answer).decode()})
        except OSError:
            self._open = False  # the client has gone; `receive` says so next


def _parts(message: AsgiMessage) -> tuple[str, bytes, str]:
    """Id, body and content type of a message.

    Raises:
        ProblemError: 400, it has no id.
    """
    text = message.get("text")
    if text is None:
        data: bytes = message.get("bytes") or b""
        if len(data) < 8:
            raise ProblemError(bad_request("a binary message begins with its id: eight bytes, little-endian"))
        return str(int.from_bytes(data[:8], "little")), data[8:], ARROW
    message_id, _, frames = text.partition("\n")
    if not _ID.fullmatch(message_id.strip()):
        raise ProblemError(bad_request("the first line of a text message is its id: 1 to 64 of A-Z a-z 0-9 . _ -"))
    return message_id.strip(), frames.encode(), NDJSON


def _refusal(message_id: str | None, problem: Problem) -> dict[str, Any]:
    refusal = {
        "id": message_id,
        "status": problem.status,
        "type": TYPE_PREFIX + problem.kind,
        "title": problem.title,
        "detail": problem.detail,
    }
    retry_after = problem.headers.get("Retry-After")
    return refusal if retry_after is None else refusal | {"retry_after": int(retry_after)}


async def _deny(scope: Scope, send: Send, problem: Problem, request_id: str) -> None:
    """Refuse a connection before it is one: with the problem, or, where the server cannot, with a bare 403."""
    if _DENIAL not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": problem.title})
        return
    body = problem.body(f"urn:canfleet:request:{request_id}")
    headers = {"Content-Type": MEDIA_TYPE, "X-Request-Id": request_id} | dict(problem.headers)
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{_DENIAL}.start", "status": problem.status, "headers": raw})
    await send({"type": f"{_DENIAL}.body", "body": body})
