"""The thin layer between ASGI and an endpoint: bounded bodies, request ids, and problems for every failure."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final

import orjson
from starlette.types import Receive, Scope, Send

from pipeline.errors import BodyError, BodyTooLarge
from serve.budget import ByteBudget
from serve.faults import problem_of
from serve.problems import MEDIA_TYPE, Problem, ProblemError, bad_request, method_not_allowed, not_found
from serve.request_id import address_of, request_id_of, traceparent_of
from serve.steady import SteadyBody

_DIGITS: Final = 18


class ClientGone(BodyError):
    """The client closed the connection before its body was complete; there is nobody to answer."""


class Request:
    """What an endpoint sees of a request; the body is read on demand.

    Attributes:
        headers: names in lower case.
        query: the raw query string.
        id: the request id, answered in `X-Request-Id`.
        began_at: when its headers were here, microseconds since the epoch.
        address: where it came from.
        rate_headers: says what rate limits are left, when the answer goes out.
    """

    __slots__ = ("_receive", "address", "began_at", "headers", "id", "query", "rate_headers")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        """A request of ASGI `scope`, whose body comes through `receive`."""
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.query: bytes = scope["query_string"]
        self.id = request_id_of(self.headers)
        self.began_at = time.time_ns() // 1000
        self.address = address_of(self.headers, scope)
        self.rate_headers: Callable[[], list[tuple[bytes, bytes]]] = list
        self._receive = SteadyBody(receive)

    def header(self, name: bytes) -> str | None:
        """One header as text, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context, if the caller sent a well-formed one."""
        return traceparent_of(self.headers)

    def declared_length(self, limit: int) -> int:
        """Length of the body by its header, or `limit` when it comes in chunks.

        Raises:
            BodyTooLarge: it is more than `limit` bytes.
            ProblemError: 400, it is no number.
        """
        text = self.headers.get(b"content-length")
        if text is None:
            return limit
        if not text.isdigit():
            raise ProblemError(bad_request("Content-Length is no number"))
        text = text.lstrip(b"0") or b"0"
        # No number of so many digits is small, and Python does not read one of thousands.
        if len(text) > _DIGITS or int(text) > limit:
            raise BodyTooLarge(f"the body has {_short(text)} bytes, the bound is {limit:,}: send less at a time")
        return int(text)

    async def next_chunk(self) -> tuple[bytes, bool]:
        """The next piece of the body, and whether more follows.

        Raises:
            ClientGone: the client left.
            ProblemError: 408, the body comes too slowly.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the client closed the connection before its body was complete")
        return message.get("body", b""), message.get("more_body", False)

    async def body(self, limit: int) -> bytes:
        """The whole body, never more than `limit` bytes in memory.

        Raises:
            BodyTooLarge: it exceeds `limit`.
            ClientGone: the client left.
        """
        first, more = await self.next_chunk()
        chunks = [first]
        size = len(first)
        while more and size <= limit:
            chunk, more = await self.next_chunk()
            chunks.append(chunk)
            size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"the body exceeds {limit:,} bytes: send less at a time")
        return first if len(chunks) == 1 else b"".join(chunks)


class PostEndpoint(ABC):
    """An ASGI application with one `POST` endpoint at `path`; every failure becomes a problem.

    Attributes:
        path: the full path served.
        budget: bytes of bodies in memory or on disk at one time.
    """

    path: str

    def __init__(self, budget: ByteBudget) -> None:
        """Hold at most as many bytes of bodies as `budget` allows."""
        self.budget = budget
        self.on_answer: Callable[[int, float], None] = lambda status, seconds: None
        """Told of each answer: its status, and the seconds since the request came."""
        self.on_refused_frames: Callable[[int], None] = lambda frames: None
        """Told how many frames were parsed and then refused for want of room."""

    @abstractmethod
    async def post(self, request: Request) -> object:
        """Serve one request; what it returns, a mapping or a dataclass, goes out as JSON with status 202."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        request, began = Request(scope, receive), time.monotonic()
        try:
            if scope["path"].rstrip("/") != self.path:
                raise ProblemError(not_found(f"there is nothing at {scope['path']}"))
            if scope["method"] != "POST":
                raise ProblemError(method_not_allowed(["POST"]))
            answer = await self.post(request)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 (the boundary: faults.problem_of tells and logs all of them)
            problem = problem_of(error, request.id)
            self.on_answer(problem.status, time.monotonic() - began)
            await _send_problem(send, problem, request)
        else:
            self.on_answer(202, time.monotonic() - began)
            await _send(send, request, 202, orjson.dumps(answer), media_type="application/json")


async def _send_problem(send: Send, problem: Problem, request: Request) -> None:
    body = problem.body(f"urn:canfleet:request:{request.id}")
    await _send(send, request, problem.status, body, media_type=MEDIA_TYPE, headers=problem.headers)


async def _send(
    send: Send,
    request: Request,
    status: int,
    body: bytes,
    *,
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    raw = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request.id.encode()),
        *request.rate_headers(),
    ]
    raw += [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _short(digits: bytes) -> str:
    return f"{int(digits):,}" if len(digits) <= _DIGITS else f"10^{len(digits) - 1} or more"


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
