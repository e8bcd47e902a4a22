"""From an HTTP request to a statement: ClickHouse's rules for URL parameters, headers, forms and bodies."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final

from actors.clickhouse_host.encoding import decoded
from actors.clickhouse_host.statement import Statement, insert_head
from pipeline.errors import BodyError, WarehouseError

_NO_SETTINGS: Final = frozenset(
    [
        "query", "database", "default_format", "user", "password", "query_id", "session_id", "session_timeout",
        "session_check", "compress", "decompress", "wait_end_of_query", "buffer_size", "quota_key", "stacktrace",
        "client_protocol_version", "role", "close_session",
    ]
)  # fmt: skip
_ABOUT_HTTP: Final = frozenset(
    [
        "enable_http_compression", "http_zlib_compression_level", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "add_http_cors_header", "cancel_http_readonly_queries_on_client_close",
        "http_write_exception_in_output_format", "http_wait_end_of_query", "http_response_buffer_size",
    ]
)  # fmt: skip
_STATEMENT_WITHIN: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, read whole.

    Attributes:
        method: GET, HEAD or POST.
        path: without the query string.
        parameters: of the URL.
        headers: by lower-case name.
        body: in pieces, as it came.
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: list[bytes] = field(default_factory=list)


def credentials(request: Request) -> tuple[str, str]:
    """User and password from headers, basic authentication or the URL; `default` and nothing where none are given.

    Raises:
        BodyError: the Authorization header cannot be read.
    """
    if "x-clickhouse-user" in request.headers or "x-clickhouse-key" in request.headers:
        return request.headers.get("x-clickhouse-user", "default"), request.headers.get("x-clickhouse-key", "")
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise BodyError("the Authorization header is no basic authentication") from error
        return user, password
    return request.parameters.get("user", "default"), request.parameters.get("password", "")


def protocol_revision(request: Request) -> int:
    """What the client says that it reads of the Native format; 0 where it says nothing."""
    named = request.parameters.get("client_protocol_version", "")
    return int(named) if named.isdecimal() else 0


def statement(request: Request, limit: int, limits: Mapping[str, str]) -> Statement:
    """The statement of a request to `/`.

    The text is the `query` parameter, a line break and the body; what follows the format of an INSERT is its data,
    which is never copied into the text. `limits` are settings of the user that no statement changes; a user that has
    some only reads.

    Raises:
        WarehouseError: the client wants or sends ClickHouse's own framing of compressed blocks, which is not served.
        BodyError: no query, a text that is not UTF-8, a damaged body (BodyTooLarge, UnknownContentType likewise).
    """
    for framing in ("compress", "decompress"):
        if request.parameters.get(framing) in {"1", "true"}:
            raise WarehouseError(
                f"Code: 48. DB::Exception: the embedded ClickHouse does not serve {framing}=1: use Accept-Encoding and "
                "Content-Encoding, with gzip, deflate, zstd or lz4. (NOT_IMPLEMENTED)"
            )
    body = decoded(request.body, request.headers.get("content-encoding", ""), limit)
    parameters = dict(request.parameters)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        parameters |= _form(request.headers["content-type"], body)
        body = []
    url_query = parameters.get("query", "").encode()
    head, data = _first_megabyte(body)
    text = url_query + b"\n" + head if url_query else head
    insert = insert_head(text)
    rest: list[bytes] = []
    if insert is not None:
        rest = [piece for piece in (text[insert.data_at :], *data) if len(piece)]
        text = text[: insert.end]
    elif data:
        text += b"".join(data)
    try:
        sql = text.decode().strip()
    except UnicodeDecodeError as error:
        raise BodyError(f"the query is not UTF-8 text: {error}") from error
    if not sql:
        raise BodyError("the request has no query: send it as the body, or as the parameter `query`")
    return Statement(
        sql=sql,
        insert_format=insert.format if insert else None,
        data=rest,
        database=parameters.get("database") or request.headers.get("x-clickhouse-database") or "default",
        default_format=parameters.get("default_format") or request.headers.get("x-clickhouse-format") or "TabSeparated",
        settings={
            name: value
            for name, value in parameters.items()
            if name not in _NO_SETTINGS and name not in _ABOUT_HTTP and not name.startswith("param_")
        },
        parameters={name[6:]: value for name, value in parameters.items() if name.startswith("param_")},
        limits=limits,
        read_only=request.method != "POST",
    )


def _first_megabyte(body: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The pieces that hold the first megabyte, joined, and the others."""
    size = pieces = 0
    while pieces < len(body) and size < _STATEMENT_WITHIN:
        size += len(body[pieces])
        pieces += 1
    return b"".join(body[:pieces]), body[pieces:]


def _form(content_type: str, body: list[bytes]) -> dict[str, str]:
    """The text fields of a multipart form.

    Raises:
        BodyError: it holds a file: external tables are not served.
    """
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + b"".join(body)
    )
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None or not isinstance(name, str):
            raise BodyError("external tables are not served by the embedded ClickHouse: send the data with an INSERT")
        payload = part.get_payload(decode=True)
        fields[name] = payload.decode() if isinstance(payload, bytes) else ""
    return fields
