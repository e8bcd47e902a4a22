"""`GET /v1/stream`: a WebSocket on which a vehicle stays connected and has each of its messages acknowledged.

A text message is its id on the first line and frames as NDJSON on the others. A binary message is its id as eight
bytes, little-endian, and frames as an Arrow IPC stream. The answer to each is a text message, a JSON object with that
`id` and `status`: 202 with the counts of `POST /v1/frames` once the frames are durable, or the members of the problem
that a request would have been answered with, and `retry_after` in seconds where it had `Retry-After`. Answers come in
the order in which messages are done.

HAProxy brings it to the gateway's own replicas (`serve/haproxy_mending.py`), so that its messages share batches with
small requests.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from pipeline.errors import BodyTooLarge
from pipeline.frames.body import ARROW, NDJSON
from pipeline.submission import Counts
from serve.asgi import Request
from serve.faults import problem_of
from serve.gateway import Door
from serve.problems import MEDIA_TYPE, TYPE_PREFIX, Problem, ProblemError, bad_request, not_found
from serve.taking import Message, Sender

PATHS: Final = ("/v1/stream", "/v1/frames/stream")
IN_FLIGHT: Final = 64
"""Messages of one connection that may wait for their answer; more are not read from the socket."""
ADMITTED_S: Final = 1.0
"""How long a key that was looked at opens the door for further messages."""
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_POLICY_VIOLATION: Final = 1008
_DENIAL: Final = "websocket.http.response"


class StreamEndpoint:
    """The ASGI application of WebSocket connections."""

    def __init__(self, door: Door) -> None:
        """Let senders in by `door`."""
        self._door = door
        self.connections = 0
        """How many vehicles are connected."""
        self.on_answer: Callable[[int, float], None] = lambda status, seconds: None
        """Told of each answer: its status, and the seconds since the message came."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until the client leaves."""
        request = Request(scope, receive)
        await receive()  # websocket.connect
        try:
            if scope["path"].rstrip("/") not in PATHS:
                raise ProblemError(not_found(f"there is no stream at {scope['path']}"))
            sender = await self._door.sender(request)
        except Exception as error:  # noqa: BLE001 (the boundary: faults.problem_of tells and logs all of them)
            await _deny(scope, send, problem_of(error, request.id), request.id)
            return
        await send({"type": "websocket.accept", "headers": [(b"x-request-id", request.id.encode())]})
        self.connections += 1
        try:
            await _Connection(self, self._door, request, sender, receive, send).serve()
        finally:
            self.connections -= 1


class _Connection:
    """One vehicle that stays connected."""

    def __init__(
        self, endpoint: StreamEndpoint, door: Door, request: Request, sender: Sender, receive: Receive, send: Send
    ) -> None:
        self._endpoint = endpoint
        self._door = door
        self._request = request
        self._sender = sender
        self._admitted = time.monotonic()
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
        began = time.monotonic()
        try:
            try:
                message_id, body, content_type = _parts(message)
                answer = _acknowledgement(message_id, await self._take(body, content_type, received_at))
            except Exception as error:  # noqa: BLE001 (the boundary: faults.problem_of tells and logs all of them)
                problem = problem_of(error, self._request.id)
                answer = _refusal(message_id, problem)
                if problem.status == 401:
                    await self._close(answer)
                    return
            self._endpoint.on_answer(answer["status"], time.monotonic() - began)
            await self._say(answer)
        finally:
            self._room.release()

    async def _take(self, body: bytes, content_type: str, received_at: int) -> Counts:
        door, request = self._door, self._request
        if len(body) > door.taker.max_body_bytes:
            raise BodyTooLarge(
                f"the message has {len(body):,} bytes, the bound is {door.taker.max_body_bytes:,}: send less at a time"
            )
        sender = await self._admit()
        await door.rates.request(sender.caller, sender.unit)
        with door.taker.budget.hold(len(body)) as held:
            taken = Message(body, content_type, None, received_at, request.id)
            return await door.taker.take(sender, taken, held)

    async def _admit(self) -> Sender:
        """Again and again: a key that is revoked or has ended meanwhile opens nothing."""
        now = time.monotonic()
        if now - self._admitted >= ADMITTED_S:
            self._sender = await self._door.sender(self._request)
            self._admitted = now
        return self._sender

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


def _acknowledgement(message_id: str, counts: Counts) -> dict[str, Any]:
    return {
        "id": message_id,
        "status": 202,
        "received": counts.received,
        "accepted": counts.accepted,
        "duplicates": counts.duplicates,
        "dead_lettered": counts.dead_lettered,
    }


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
