"""ClickHouse's HTTP interface over the embedded engine, as a bare ASGI application.

Served: queries and inserts on `/`, `/ping`, `/replicas_status`. Not served: external tables, temporary tables of a
session, progress headers while a query runs. An answer is held whole before its first byte is sent, so that a failed
query always answers with its own status.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from actors.clickhouse_host import dashboards_user
from actors.clickhouse_host.encoding import encoded
from actors.clickhouse_host.engine import Answer, Engine
from actors.clickhouse_host.native_revision import for_revision
from actors.clickhouse_host.request import Request, credentials, protocol_revision, statement
from actors.clickhouse_host.status import exception_code, http_status
from pipeline.errors import BodyError, BodyTooLarge, UnknownContentType, WarehouseAway, WarehouseError

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES: Final = 1 << 30
"""Of one request, before and after decompression."""

_CONTENT_TYPES: Final = {
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "native": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "arrowstream": "application/vnd.apache.arrow.stream",
    "arrow": "application/vnd.apache.arrow.file",
    "parquet": "application/vnd.apache.parquet",
}
_TEXT: Final = {"Content-Type": "text/plain; charset=UTF-8"}


class Reply(NamedTuple):
    """Status, body and headers of one answer."""

    status: int
    body: bytes
    headers: dict[str, str]


class ClickHouseHTTP:
    """The ASGI application; one instance serves one engine."""

    def __init__(self, engine: Engine, user: str = "default", password: str = "") -> None:
        """Serve `engine` to `user` and, with the same password, `dashboards`; an empty password asks for none."""
        self._engine = engine
        self._users = [user.encode(), dashboards_user.USER.encode()]
        self._password = password.encode()
        self._common = {
            "X-ClickHouse-Server-Display-Name": engine.display_name,
            "X-ClickHouse-Timezone": engine.timezone,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served here, not {scope['type']}")
        parameters = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            request = Request(scope["method"], scope["path"], parameters, headers, await _read(receive))
            reply = await self._reply(request)
        except WarehouseError as error:
            reply = _refusal(str(error))
        except BodyTooLarge as error:
            reply = _refusal(f"Code: 229. DB::Exception: {error}. (QUERY_IS_TOO_LARGE)")
        except UnknownContentType as error:
            reply = _refusal(f"Code: 89. DB::Exception: {error}. (UNKNOWN_COMPRESSION_METHOD)", 400)
        except BodyError as error:
            reply = _refusal(f"Code: 62. DB::Exception: {error}. (SYNTAX_ERROR)")
        common = self._common | {"X-ClickHouse-Query-Id": parameters.get("query_id") or str(uuid.uuid4())}
        await _send(send, reply, common, with_body=scope["method"] != "HEAD")

    async def _reply(self, request: Request) -> Reply:
        if request.path in {"/ping", "/replicas_status"}:
            return Reply(200, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
        if request.path != "/":
            return Reply(404, f"There is no handle {request.path}\n".encode(), _TEXT)
        limits = dashboards_user.LIMITS if self._authenticate(request) == dashboards_user.USER else {}
        return await asyncio.get_running_loop().run_in_executor(self._engine.pool, self._answer, request, limits)

    def _answer(self, request: Request, limits: Mapping[str, str]) -> Reply:
        """In a worker thread: parse, run, compress."""
        answer = self._engine.execute(statement(request, MAX_BODY_BYTES, limits))
        headers = {"Content-Type": _content_type(answer.format), "X-ClickHouse-Summary": _summary(answer)}
        if answer.format is not None:
            headers["X-ClickHouse-Format"] = answer.format
        body = answer.body
        if (answer.format or "").lower() == "native":
            body = for_revision(body, protocol_revision(request))
        if request.parameters.get("enable_http_compression") in {"1", "true"}:
            body, coding = encoded(body, request.headers.get("accept-encoding", ""))
            if coding is not None:
                headers["Content-Encoding"] = coding
        return Reply(200, body, headers)

    def _authenticate(self, request: Request) -> str:
        user, password = credentials(request)
        # All are compared whatever the first gives, each in constant time.
        known = any([hmac.compare_digest(user.encode(), one) for one in self._users])
        if not (hmac.compare_digest(password.encode(), self._password) and known):
            raise WarehouseError(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user "
                f"with such name. (AUTHENTICATION_FAILED) (version {self._engine.version})"
            )
        return user


def _refusal(message: str, status: int | None = None) -> Reply:
    code = exception_code(message)
    return Reply(
        status or http_status(code), message.encode() + b"\n", _TEXT | {"X-ClickHouse-Exception-Code": str(code)}
    )


async def _read(receive: Receive) -> list[bytes]:
    """The whole body, in pieces.

    Raises:
        BodyTooLarge: more than `MAX_BODY_BYTES`.
        WarehouseAway: the client went away.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise WarehouseAway("Code: 210. DB::Exception: the client went away. (NETWORK_ERROR)")
        piece = message.get("body", b"")
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the body exceeds {MAX_BODY_BYTES} bytes: send it in smaller parts")
        if piece:
            pieces.append(piece)
        if not message.get("more_body", False):
            return pieces


async def _send(send: Send, reply: Reply, common: dict[str, str], with_body: bool) -> None:
    headers = {"Content-Length": str(len(reply.body))} | common | reply.headers
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": reply.body if with_body else b""})


def _content_type(answer_format: str | None) -> str:
    name = (answer_format or "").lower()
    if name.startswith("json"):
        return "application/json; charset=UTF-8"
    return _CONTENT_TYPES.get(name, "text/plain; charset=UTF-8")


def _summary(answer: Answer) -> str:
    return json.dumps(
        {
            "read_rows": str(answer.read_rows),
            "read_bytes": str(answer.read_bytes),
            "written_rows": str(answer.written_rows),
            "written_bytes": str(answer.written_bytes),
            "total_rows_to_read": str(answer.read_rows),
            "result_bytes": str(len(answer.body)),
            "elapsed_ns": str(answer.elapsed_ns),
        }
    )
