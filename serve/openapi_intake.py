"""The two operations that run outside FastAPI, `POST /v1/frames` and `POST /v1/logs`, as OpenAPI describes them."""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson
import pyarrow as pa

from pipeline.frames.body import ARROW, JSON, NDJSON
from pipeline.frames.schema import MAX_VEHICLE_ID_CHARACTERS
from serve.openapi_examples import example_of
from serve.problem_examples import problem_responses, reference

_NEWEST_US: Final = 1_785_000_000_000_000
_REFUSALS: Final = (
    "bad-request",
    "unreadable-body",
    "other-vehicle",
    "body-too-large",
    "unknown-content-type",
    "dead-letters-full",
)
_CANDUMP: Final = "(1785000000.000123) can0 18FEF100#FFFF681376FFFFFF\n(1785000000.010207) can0 1A3#00112233\n"
_TRACE: Final = {
    "name": "traceparent",
    "in": "header",
    "required": False,
    "description": "W3C trace context. Its trace id stands in the `log_comment` of the inserts that store the frames.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
    "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


def send_frames(components: dict[str, Any]) -> dict[str, Any]:
    """The operation of `POST /v1/frames`; `components` are the document's schemas."""
    frame = example_of(reference("schemas", "Frame"), components)
    short = {"vehicle_id": "truck-7", "timestamp": _NEWEST_US, "arbitration_id": 256, "data": "00ff"}
    lines = "".join(orjson.dumps(row).decode() + "\n" for row in (frame, short))
    parameters = [
        {
            "name": "Content-Encoding",
            "in": "header",
            "required": False,
            "description": "How the body is compressed.",
            "schema": {"type": "string", "enum": ["gzip", "zstd", "identity"]},
            "example": "zstd",
        },
        {
            "name": "X-Canfleet-Lane",
            "in": "header",
            "required": False,
            "description": "`backfill` for old data: counted apart from live frames, made durable after them.",
            "schema": {"type": "string", "enum": ["backfill"]},
            "example": "backfill",
        },
        _TRACE,
    ]
    body = {
        ARROW: {
            "schema": {
                "type": "string",
                "description": "An Arrow IPC stream with the columns vehicle_id (utf8, plain or dictionary), timestamp "
                "(timestamp[us, UTC]), arbitration_id (uint32) and data (binary), in any order; optionally is_extended "
                "(bool), channel (uint8), session (uint32), sequence (uint64).",
            },
            "examples": {
                "base64": {
                    "summary": "One frame. Base64 here, since JSON holds no bytes; send the bytes.",
                    "value": base64.b64encode(_arrow()).decode(),
                }
            },
        },
        NDJSON: {
            "schema": {"type": "string", "description": "A JSON object a line, each as in `Frame`."},
            "examples": {"lines": {"summary": "Two frames", "value": lines}},
        },
        JSON: {
            "schema": {"type": "array", "items": reference("schemas", "Frame")},
            "examples": {"list": {"summary": "Two frames", "value": [frame, short]}},
        },
    }
    return _post(
        "send_frames",
        "Send frames",
        "202 means that every one of them is durable, a proven duplicate, or in the dead letters. A request is "
        "accepted or refused as a whole; sending it again is always safe, a frame is stored once.",
        parameters,
        body,
        {"schema": reference("schemas", "FrameCounts"), "example": _counts(5000, 4998, 1, 1)},
    )


def send_log() -> dict[str, Any]:
    """The operation of `POST /v1/logs`."""
    parameters = [
        {
            "name": "vehicle_id",
            "in": "query",
            "required": True,
            "description": "Whose frames these are.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_VEHICLE_ID_CHARACTERS},
            "example": "truck-7",
        },
        {
            "name": "filename",
            "in": "query",
            "required": True,
            "description": "Name of the file; its ending names the format: .asc, .blf, .csv, .db, .log, .mf4, .trc, "
            "all but .db also with .gz behind it.",
            "schema": {"type": "string", "minLength": 1},
            "example": "drive.log",
        },
        {
            "name": "start",
            "in": "query",
            "required": False,
            "description": "When the recording began, for a log that counts from zero: RFC 3339 or integer "
            "microseconds since the epoch.",
            "schema": {"type": "string"},
            "example": "2026-01-31T12:00:00Z",
        },
        _TRACE,
    ]
    body = {
        "application/octet-stream": {
            "schema": {"type": "string", "description": "The file as it is."},
            "examples": {
                "candump": {"summary": "A candump log, to be sent with filename=drive.log", "value": _CANDUMP}
            },
        }
    }
    return _post(
        "send_log",
        "Send a log file",
        "A file as it is, in any format that python-can reads. It is read by a process of its own, which may take "
        "CPU time by the file's size; a file that takes more is refused with 400. Its frames are taken in piece by "
        "piece: after an error, send it again, a frame is stored once.",
        parameters,
        body,
        {
            "schema": reference("schemas", "LogCounts"),
            "example": _counts(73785, 73785, 0, 0) | {"skipped": 12},
        },
    )


def _post(
    name: str,
    summary: str,
    description: str,
    parameters: list[dict[str, Any]],
    body: dict[str, Any],
    accepted: dict[str, Any],
) -> dict[str, Any]:
    return {
        "tags": ["ingest"],
        "summary": summary,
        "description": description,
        "operationId": name,
        "security": [{"bearer": ["ingest"]}, {"apiKey": ["ingest"]}],
        "parameters": parameters,
        "requestBody": {"required": True, "content": body},
        "responses": {
            "202": {"description": "Durable.", "content": {"application/json": accepted}},
            **{str(status): response for status, response in problem_responses(*_REFUSALS).items()},
        },
    }


def _arrow() -> bytes:
    batch = pa.record_batch(
        {
            "vehicle_id": pa.array(["truck-7"]),
            "timestamp": pa.array([_NEWEST_US], pa.timestamp("us", tz="UTC")),
            "arbitration_id": pa.array([0x18FEF100], pa.uint32()),
            "data": pa.array([bytes.fromhex("ffff681376ffffff")]),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _counts(received: int, accepted: int, duplicates: int, dead_lettered: int) -> dict[str, int]:
    return {"received": received, "accepted": accepted, "duplicates": duplicates, "dead_lettered": dead_lettered}
