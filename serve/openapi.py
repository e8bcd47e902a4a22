"""The OpenAPI document of the whole API, with the endpoints that run outside FastAPI."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from serve.models import Frame, FrameCounts, LogCounts, ProblemDetails
from serve.openapi_examples import example_of
from serve.openapi_intake import send_frames, send_log
from serve.problem_examples import problem_components, problem_responses, reference
from serve.request_id import SANE_REQUEST_ID

DESCRIPTION: Final = """Raw CAN frames in, live state and history out.

Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; it sees its own fleet alone, and what belongs to another
fleet looks like what does not exist. The scopes that an operation wants stand in its `security`; one is enough.

Every error is `application/problem+json` (RFC 9457), and its `type` tells which: the components' examples are all there
are. A path that does not exist is `not-found`, a method that a path lacks `method-not-allowed` (405, with `Allow`). The
proxy in front answers some requests itself, with the same problems and the instance `about:blank`: what is no HTTP or
has a head beyond 15 KB (400), comes too slowly (408), or meets no application (503).

Every other answer carries `X-Request-Id`, the caller's where it sent one. Times are integer microseconds since 1970.
"""
_STREAM: Final = """`GET /v1/stream` is a WebSocket, which OpenAPI has no words for.

Connect with a key of scope `ingest`; it is refused as any request would be. A text message is an id (1 to 64 of
`A-Z a-z 0-9 . _ -`) on the first line and frames as NDJSON on the others; a binary one is an id as eight bytes,
little-endian, and frames as an Arrow IPC stream. Each is answered, in the order in which they are done, with a JSON
object: `id`, `status`, and with 202 the counts of `POST /v1/frames`, else the members of the problem, and `retry_after`
in seconds where a request would have had `Retry-After`. When the key ends or is revoked, the connection is closed with
1008.
"""
_TAGS: Final = {
    "ingest": "Frames and log files on their way in. Scope `ingest`.",
    "stream": _STREAM,
    "vehicles": "One vehicle: how it is now, and how its signals went. Scope `query`.",
    "fleet": "The key's fleet as a whole. Scope `query`.",
    "dead letters": "Rows that broke a rule: look at them, send them again, delete them. Scope `admin`.",
    "keys": "API keys. Scope `admin`.",
    "operation": "For those who run the platform.",
}
_RATE: Final = "draft-ietf-httpapi-ratelimit-headers-10"
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {
        "description": "Names the request in logs and problems.",
        "schema": {"type": "string", "pattern": f"^{SANE_REQUEST_ID}$"},
        "example": "0e6f4d2b9a3c4c1f8d7e6a5b4c3d2e1f",
    },
    "RateLimit-Policy": {
        "description": f"The limits of this key and its fleet; absent where there are none ({_RATE}).",
        "schema": {"type": "string"},
        "example": '"key-requests-1s";q=100;w=1',
    },
    "RateLimit": {
        "description": f"What is left of the one nearest to its end; absent where there are none ({_RATE}).",
        "schema": {"type": "string"},
        "example": '"key-requests-1s";r=99;t=1',
    },
    "Retry-After": {
        "description": "Seconds until it is worth sending the request again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "WWW-Authenticate": {
        "description": "How to authenticate, or the scope that the key lacks.",
        "schema": {"type": "string"},
        "example": 'Bearer realm="canfleet", error="insufficient_scope", scope="query"',
    },
    "Connection": {
        "description": "`close`: send nothing more on it.",
        "schema": {"type": "string"},
        "example": "close",
    },
    "Allow": {"description": "The methods that the path has.", "schema": {"type": "string"}, "example": "POST"},
}
_REQUEST_ID: Final = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Names the request in logs and problems; another is made up where this one is absent or odd.",
    "schema": {"type": "string", "pattern": f"^{SANE_REQUEST_ID}$"},
    "example": "truck-7.4711",
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document, built once per application."""
    if app.openapi_schema is None:
        tags = [{"name": name, "description": text} for name, text in _TAGS.items()]
        schema = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=tags
        )
        components = schema["components"]
        for unused in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(unused, None)
        components["schemas"] |= _outside()
        components |= {
            "examples": problem_components(),
            "headers": _HEADERS,
            "parameters": {"X-Request-Id": _REQUEST_ID},
            "responses": {"MethodNotAllowed": problem_responses("method-not-allowed")[405]},
        }
        schemas = components["schemas"]
        schema["paths"] = {
            "/v1/frames": {"post": send_frames(schemas)},
            "/v1/logs": {"post": send_log()},
        } | schema["paths"]
        for methods in schema["paths"].values():
            for operation in methods.values():
                _finish(operation, schemas)
        app.openapi_schema = schema
    return app.openapi_schema


def _outside() -> dict[str, Any]:
    """Schemas that no FastAPI route names."""
    models = [(model, "serialization") for model in (Frame, FrameCounts, LogCounts, ProblemDetails)]
    _, found = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _finish(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Give an operation the problems, headers and examples that all have, in place."""
    responses = operation["responses"]
    # FastAPI's 422 is what the API answers with 400.
    responses.pop("422", None)
    with_key = "security" in operation
    asked = "parameters" in operation or "requestBody" in operation
    usual = ["internal-error", "overloaded", "unavailable"]
    usual += ["unauthenticated", "forbidden", "rate-limited"] if with_key else []
    usual += ["bad-request"] if asked else []
    if "requestBody" in operation:
        usual += ["request-timeout", "body-too-large"]
        # Of these alone the proxy wants to know the length before it hands them on.
        usual += ["length-required"] if "ingest" not in operation["tags"] else []
    for status, response in problem_responses(*usual).items():
        _join(responses, str(status), response)
    if with_key:
        # Of the scopes that FastAPI lists together, each alone is enough.
        operation["security"] = [
            {scheme: [scope]} for one in operation["security"] for scheme, scopes in one.items() for scope in scopes
        ]
    limits = ("RateLimit-Policy", "RateLimit") if with_key else ()
    for status, response in responses.items():
        # Those are known once the key is: not with 401.
        known = ("X-Request-Id", *(limits if status != "401" else ()))
        response.setdefault("headers", {}).update({name: reference("headers", name) for name in known})
        _exemplify(response.get("content", {}), schemas)
    _exemplify(operation.get("requestBody", {}).get("content", {}), schemas)
    operation.setdefault("parameters", []).append(reference("parameters", "X-Request-Id"))
    operation["responses"] = dict(sorted(responses.items()))


def _join(responses: dict[str, Any], status: str, response: dict[str, Any]) -> None:
    """Add the problems of `response` to what an operation says of a status itself."""
    said = responses.setdefault(status, response)
    if said is not response:
        for media_type, content in response["content"].items():
            said["content"][media_type]["examples"] |= content["examples"]
        said["headers"] |= response["headers"]


def _exemplify(contents: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Give each content an example that has none: those of its schema, or one put together from its fields'."""
    for content in contents.values():
        if "example" in content or "examples" in content:
            continue
        named = schemas.get(content["schema"].get("$ref", "").rsplit("/", 1)[-1], {})
        several = named.get("examples", [])
        if len(several) > 1:
            content["examples"] = {f"example{i + 1}": {"value": value} for i, value in enumerate(several)}
        else:
            content["example"] = example_of(content["schema"], schemas)
