"""Every refusal the HTTP API can answer with, one function per case, as RFC 9457 problem details."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.errors import (
    BodyError,
    BodyTooLarge,
    CanfleetError,
    ConfigError,
    DeadLettersFull,
    JournalError,
    Overloaded,
    PartitionAway,
    UnknownContentType,
    WarehouseError,
)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:canfleet:problem:"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: `kind` names it in its type URI, `headers` go with the answer, `extra` into its body."""

    kind: str
    status: int
    title: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def body(self, instance: str) -> bytes:
        """The JSON of RFC 9457; `instance` names this occurrence (`urn:canfleet:request:<id>`).

        A detail can quote what somebody sent: half of a surrogate pair, which no UTF-8 can hold, becomes a `?`.
        """
        members = {
            "type": TYPE_PREFIX + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        text = json.dumps(members | dict(self.extra), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


class ProblemError(CanfleetError):
    """Ends a request with a problem.

    Attributes:
        problem: the answer.
    """

    def __init__(self, problem: Problem) -> None:
        """Carry `problem` to the boundary."""
        super().__init__(problem.detail)
        self.problem = problem


def unauthenticated() -> Problem:
    """401: no key, or none that is valid. Says nothing about which of the two."""
    return Problem(
        "unauthenticated",
        401,
        "No valid API key",
        "Send a valid key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
        {"WWW-Authenticate": 'Bearer realm="canfleet"'},
    )


def forbidden(scope: str) -> Problem:
    """403: the key is valid but lacks a scope."""
    return Problem(
        "forbidden",
        403,
        "Not allowed",
        f"This key lacks the scope `{scope}`: use another key, or have one made with that scope.",
        {"WWW-Authenticate": f'Bearer realm="canfleet", error="insufficient_scope", scope="{scope}"'},
    )


def other_vehicle(vehicle_id: str) -> Problem:
    """403: the key is bound to vehicles, and this is none of them."""
    detail = (
        f"This key may not send frames of vehicle {vehicle_id[:80]!r}: it is bound to others. Nothing was accepted."
    )
    return Problem("other-vehicle", 403, "Not this vehicle", detail)


def other_fleet(fleet: str) -> Problem:
    """403: an admin key reaches for the keys of a fleet that is not its own."""
    return Problem("forbidden", 403, "Not allowed", f"This key manages the keys of fleet `{fleet}` alone.")


def not_the_operator(what: str) -> Problem:
    """403: what is asked for tells of every fleet."""
    return Problem("forbidden", 403, "Not allowed", f"{what}: only the bootstrap key may see it.")


def unreadable(detail: str) -> Problem:
    """400: the body cannot be read at all."""
    return Problem("unreadable-body", 400, "The body cannot be read", detail)


def bad_request(detail: str) -> Problem:
    """400: a parameter of the request makes no sense."""
    return Problem("bad-request", 400, "The request makes no sense", detail)


def not_found(detail: str) -> Problem:
    """404: unknown, or another fleet's: the two look the same."""
    return Problem("not-found", 404, "Not found", detail)


def method_not_allowed(allowed: Iterable[str]) -> Problem:
    """405: the path exists, the method does not."""
    names = ", ".join(sorted(allowed))
    return Problem("method-not-allowed", 405, "Method not allowed", f"Allowed here: {names}.", {"Allow": names})


def too_slow(detail: str) -> Problem:
    """408: the request does not come at a steady pace. The connection ends with it."""
    return Problem("request-timeout", 408, "The request came too slowly", detail, {"Connection": "close"})


def length_required(detail: str) -> Problem:
    """411: a body without a length, where it must have one."""
    return Problem("length-required", 411, "A length is required", detail)


def too_large(detail: str) -> Problem:
    """413: the body exceeds a bound."""
    return Problem("body-too-large", 413, "The body is too large", detail)


def range_too_large(frames: int, most: int, fits: int, fits_text: str) -> Problem:
    """413: a range holds more frames than one answer may have; `fits` is where it would have to end (µs)."""
    detail = (
        f"The range holds {frames:,} frames, and an export {most:,} at most: ask for to={fits_text} first, and then "
        f"from there on."
    )
    return Problem("range-too-large", 413, "The range is too large", detail, extra={"fits": fits})


def unknown_type(detail: str) -> Problem:
    """415: no reader for this content type, encoding or file extension."""
    return Problem("unknown-content-type", 415, "Unknown content type", detail)


def rate_limited(what: str, wait_s: float) -> Problem:
    """429: too many requests or frames in too short a time. Nothing of this one was accepted."""
    detail = f"Too many {what} in too short a time. Nothing of this request was accepted: send it again later."
    return Problem("rate-limited", 429, "Rate limit", detail, _retry(wait_s))


def overloaded(detail: str, retry_after_s: float) -> Problem:
    """503: a bounded queue is full."""
    return Problem("overloaded", 503, "Overloaded", detail, _retry(retry_after_s))


def dead_letters_full(detail: str, retry_after_s: float) -> Problem:
    """503: the fleet has too many dead letters for the bad rows of this request; nothing of it was accepted."""
    return Problem("dead-letters-full", 503, "The dead letters are full", detail, _retry(retry_after_s))


def away(what: str) -> Problem:
    """503: a part of the platform does not answer, and is being restarted."""
    detail = f"{what} does not answer at the moment; it restarts by itself. Sending the request again is safe."
    return Problem("unavailable", 503, "Temporarily unavailable", detail, _retry(1))


def partition_away(detail: str, retry_after_s: float) -> Problem:
    """503: the partition actor of some of the request's vehicles does not answer; what became of them is unknown."""
    said = f"{detail}. Sending the request again is safe."
    return Problem("unavailable", 503, "Temporarily unavailable", said, _retry(retry_after_s))


def not_ready(reasons: list[str]) -> Problem:
    """503: data cannot be accepted durably yet."""
    detail = "; ".join(reasons) or "the platform is starting"
    return Problem("not-ready", 503, "Not ready", detail, _retry(1), {"ready": False, "reasons": reasons})


def warehouse_refused(detail: str) -> Problem:
    """502: ClickHouse answered with an error."""
    return Problem("warehouse-error", 502, "ClickHouse refused the query", detail)


def unexpected(request_id: str) -> Problem:
    """500: a fault of canfleet itself. The log has the details under the request id."""
    return Problem(
        "internal-error",
        500,
        "Internal error",
        f"Something broke that should not have; the log has it as {request_id}.",
    )


def from_error(error: CanfleetError, request_id: str) -> Problem:
    """The problem that an error of the tree in `pipeline/errors.py` stands for."""
    match error:
        case ProblemError():
            return error.problem
        case DeadLettersFull():
            return dead_letters_full(str(error), error.retry_after_s)
        case PartitionAway():
            return partition_away(str(error), error.retry_after_s)
        case Overloaded():
            return overloaded(str(error), error.retry_after_s)
        case BodyTooLarge():
            return too_large(str(error))
        case UnknownContentType():
            return unknown_type(str(error))
        case BodyError():
            return unreadable(str(error))
        case WarehouseError():
            return warehouse_refused(str(error))
        case ConfigError():
            return bad_request(str(error))
        case JournalError():
            return overloaded(f"nothing can be made durable: {error}", 5.0)
        case _:
            return unexpected(request_id)


def _retry(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
