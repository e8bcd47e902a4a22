"""One example of every problem, made by the functions that make the real ones, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

import orjson

from serve import problems
from serve.problems import Problem

REQUEST_ID: Final = "0e6f4d2b9a3c4c1f8d7e6a5b4c3d2e1f"
"""The id of the request in every example."""

EXAMPLES: Final[dict[str, Problem]] = {
    "unreadable-body": problems.unreadable(
        "the body is no Arrow IPC stream: Expected to read 538970747 metadata bytes"
    ),
    "bad-request": problems.bad_request("`from` must lie before `to`"),
    "unauthenticated": problems.unauthenticated(),
    "forbidden": problems.forbidden("query"),
    "other-fleet": problems.other_fleet("north"),
    "every-fleet": problems.not_the_operator("The storage is that of all fleets together"),
    "other-vehicle": problems.other_vehicle("truck-8"),
    "not-found": problems.not_found("fleet `north` has no vehicle `truck-8`"),
    "method-not-allowed": problems.method_not_allowed(["POST"]),
    "request-timeout": problems.too_slow(
        "9 bytes of the body came in 21 s: 1,024 bytes a second are the least. Send less at a time."
    ),
    "length-required": problems.length_required("A body must come with Content-Length here."),
    "body-too-large": problems.too_large("the body has 33,554,432 bytes, the bound is 16,777,216: send less at a time"),
    "range-too-large": problems.range_too_large(
        4_320_000, 1_000_000, 1_785_020_000_000_000, "2026-07-25T22:53:20+00:00"
    ),
    "unknown-content-type": problems.unknown_type(
        "content type 'text/csv' is not read here; send application/vnd.apache.arrow.stream, application/x-ndjson or "
        "application/json"
    ),
    "rate-limited": problems.rate_limited("frames", 2.0),
    "overloaded": problems.overloaded("shard 0 has 1 MiB in flight", 1.0),
    "dead-letters-full": problems.dead_letters_full(
        "fleet `north` holds 1,000,000 dead letters of at most 1,000,000, and this request has 3 bad rows", 30.0
    ),
    "unavailable": problems.away("ClickHouse"),
    "not-ready": problems.not_ready(["shard 0: away"]),
    "warehouse-error": problems.warehouse_refused(
        "ClickHouse refused: Code: 241. DB::Exception: Memory limit exceeded"
    ),
    "internal-error": problems.unexpected(REQUEST_ID),
}
"""By the name that `problem_responses` knows it under."""

MEANING: Final = {
    400: "The body or a parameter cannot be read, or makes no sense.",
    401: "No valid key.",
    403: "The key is valid, and may not do this.",
    404: "Unknown, or another fleet's: the two look the same.",
    405: "The path exists, the method does not; `Allow` names those that do.",
    408: "The request came too slowly; the connection ends with it.",
    411: "The body must have a length, and has none.",
    413: "The body, or what is asked for, is larger than it may be.",
    415: "No reader for this content type, encoding or file name.",
    429: "Rate limit; `Retry-After` says when. Nothing of the request was accepted.",
    500: "A fault of canfleet; the request id leads to the log.",
    502: "ClickHouse refused the query.",
    503: "Overload, or a part is away; `Retry-After` says when. Sending the request again is safe.",
}
"""What a status says, whatever the endpoint."""


def problem_responses(*names: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of an operation that can be answered with these problems, by status."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for name in sorted(names, key=lambda name: EXAMPLES[name].status):
        problem = EXAMPLES[name]
        response = by_status.setdefault(
            problem.status,
            {
                "description": MEANING[problem.status],
                "headers": {header: reference("headers", header) for header in problem.headers},
                "content": {
                    problems.MEDIA_TYPE: {"schema": reference("schemas", "ProblemDetails"), "examples": {}},
                },
            },
        )
        response["content"][problems.MEDIA_TYPE]["examples"][name] = reference("examples", name)
    return by_status


def problem_components() -> dict[str, dict[str, Any]]:
    """The examples that `problem_responses` points to, as OpenAPI has them."""
    instance = f"urn:canfleet:request:{REQUEST_ID}"
    return {
        name: {"summary": problem.title, "value": orjson.loads(problem.body(instance))}
        for name, problem in EXAMPLES.items()
    }


def reference(kind: str, name: str) -> dict[str, str]:
    """A pointer to a component of the document."""
    return {"$ref": f"#/components/{kind}/{name}"}
