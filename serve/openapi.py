"""The OpenAPI document of the whole API, with the endpoints that run outside FastAPI."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve.models import FrameCounts, LogCounts, ProblemDetails
from serve.problems import MEDIA_TYPE

DESCRIPTION: Final = (
    "Raw CAN frames in, live state and history out. Every error is application/problem+json (RFC 9457). "
    "Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; it sees its own fleet alone. "
    "Times are integer microseconds since the epoch."
)

_FRAME: Final = {
    "vehicle_id": "truck-7",
    "timestamp": "2026-01-31T12:00:00.000123Z",
    "arbitration_id": 418119424,
    "data": "ffff681376ffffff",
    "is_extended": True,
    "channel": 0,
    "session": 3,
    "sequence": 17,
}
_TITLES: Final = {
    "400": "The body or a parameter cannot be read.",
    "401": "No valid key.",
    "403": "The key lacks the scope.",
    "404": "Unknown, or another fleet's.",
    "413": "The body is too large.",
    "415": "Unknown content type or encoding.",
    "429": "Rate limit; `Retry-After` says when.",
    "500": "A fault of canfleet; the request id leads to the log.",
    "502": "ClickHouse refused the query.",
    "503": "Overload, or a part is away; `Retry-After` says when. Nothing of the request was accepted.",
}
_RATE_HEADERS: Final = {
    name: {"description": f"{meaning} (draft-ietf-httpapi-ratelimit-headers-10)", "schema": {"type": "string"}}
    for name, meaning in {
        "RateLimit-Policy": "The limits of this key and its fleet; absent where there are none.",
        "RateLimit": "What is left of the one nearest to its end.",
    }.items()
}
_OPEN: Final = {"/healthz", "/readyz"}
_STORED: Final = (
    "/v1/anomalies",
    "/v1/dead-letters",
    "/v1/ledger/reconciliation",
    "/v1/vehicles/{vehicle_id}/signals/",
)
"""How paths begin that are answered from ClickHouse."""


def document(app: FastAPI) -> dict[str, Any]:
    """The document, built once per application."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        components = schema["components"]["schemas"]
        for model in (FrameCounts, LogCounts, ProblemDetails):
            components[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["paths"] = {"/v1/frames": _frames(), "/v1/logs": _logs()} | schema["paths"]
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                _finish(path, operation)
        app.openapi_schema = schema
    return app.openapi_schema


def _finish(path: str, operation: dict[str, Any]) -> None:
    """Give an operation the errors every operation can have, in place."""
    responses = operation["responses"]
    # FastAPI's 422 is what the API answers with 400.
    responses.pop("422", None)
    usual = ["500", "503"] if path in _OPEN else ["400", "401", "403", "429", "500", "503"]
    stored = ["502"] if path.startswith(_STORED) else []
    for status in [*usual, *stored, *(["404"] if "{" in path else [])]:
        responses.setdefault(status, {"description": _TITLES[status]})
    for status, response in responses.items():
        if status >= "400":
            problem = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
            response["content"] = {MEDIA_TYPE: problem}
            if status in ("429", "503"):
                seconds = {"description": "Seconds.", "schema": {"type": "integer"}}
                response["headers"] = {"Retry-After": seconds}
        if path not in _OPEN and status in ("200", "202", "429"):
            response.setdefault("headers", {}).update(_RATE_HEADERS)


def _frames() -> dict[str, Any]:
    arrow = (
        "An Arrow IPC stream with vehicle_id, timestamp (µs, UTC), arbitration_id, data; "
        "optionally is_extended, channel, session, sequence."
    )
    item = {"type": "object", "required": ["vehicle_id", "timestamp", "arbitration_id", "data"]}
    body = {
        "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary", "description": arrow}},
        "application/x-ndjson": {
            "schema": {"type": "string"},
            "example": '{"vehicle_id": "truck-7", "timestamp": 1785000000000123, "arbitration_id": 256, "data": "00ff"}'
            "\n",
        },
        "application/json": {"schema": {"type": "array", "items": item}, "example": [_FRAME]},
    }
    encoding = _parameter("Content-Encoding", "header", "gzip or zstd.", required=False)
    lane = _parameter(
        "X-Canfleet-Lane",
        "header",
        "`backfill` for old data: counted apart from live frames, made durable after them.",
        required=False,
    )
    return {
        "post": _post(
            "ingest",
            "Send frames. 202 means that every one of them is durable, a proven duplicate, or in the dead letters.",
            [encoding, lane],
            body,
            {"schema": {"$ref": "#/components/schemas/FrameCounts"}, "example": _counts(5000, 4998, 1, 1)},
        )
    }


def _logs() -> dict[str, Any]:
    return {
        "post": _post(
            "ingest",
            "Send a log file as it is, in any format that python-can reads; its name tells which.",
            [
                _parameter("vehicle_id", "query", "Whose frames these are."),
                _parameter("filename", "query", "Name of the file; its ending names the format."),
                _parameter(
                    "start", "query", "When the recording began, for a log that counts from zero.", required=False
                ),
            ],
            {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            {
                "schema": {"$ref": "#/components/schemas/LogCounts"},
                "example": _counts(73785, 73785, 0, 0) | {"skipped": 12},
            },
        )
    }


def _post(
    tag: str, description: str, parameters: list[dict[str, Any]], body: dict[str, Any], accepted: dict[str, Any]
) -> dict[str, Any]:
    errors = {status: {"description": _TITLES[status]} for status in ("413", "415", "429")}
    answers = {"202": {"description": "Durable.", "content": {"application/json": accepted}}}
    return {
        "tags": [tag],
        "summary": description.split(".", maxsplit=1)[0],
        "description": description,
        "security": [{"bearer": []}, {"apiKey": []}],
        "parameters": parameters,
        "requestBody": {"required": True, "content": body},
        "responses": answers | errors,
    }


def _parameter(name: str, where: str, description: str, *, required: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": description,
        "schema": {"type": "string"},
    }


def _counts(received: int, accepted: int, duplicates: int, dead_lettered: int) -> dict[str, int]:
    return {"received": received, "accepted": accepted, "duplicates": duplicates, "dead_lettered": dead_lettered}
