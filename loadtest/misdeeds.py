"""What hostile or broken clients send, and which answers to it are right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import zstandard

from simulator.sender import ARROW_STREAM

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PROBLEM: Final = "application/problem+json"
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Misdeed:
    """One kind of bad request.

    Attributes:
        name: what the report calls it.
        statuses: the answers that are right; 429 and 503 are always.
        key: None for none, "" for the valid one, else this one.
    """

    name: str
    statuses: frozenset[int]
    method: str = "POST"
    path: str = "/v1/frames"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    key: str | None = ""


@cache
def misdeeds() -> list[Misdeed]:
    """All of them, but those that take time on purpose; bombs are made at the first call."""
    frame = {"vehicle_id": "load-bad", "timestamp": "2026-01-31T12:00:00Z", "arbitration_id": 256, "data": "00"}
    long_id = "x" * 10_000
    json_body = {"Content-Type": JSON}
    return [
        Misdeed("no key", frozenset({401}), headers=json_body, body=b"[]", key=None),
        Misdeed("wrong key", frozenset({401}), headers=json_body, body=b"[]", key="wrong-" + "k" * 40),
        Misdeed("broken Arrow", frozenset({400}), headers={"Content-Type": ARROW_STREAM}, body=b"\xff" * 4_000),
        Misdeed("half of a JSON list", frozenset({400}), headers=json_body, body=json.dumps([frame]).encode()[:-9]),
        Misdeed("deep JSON", frozenset({400}), headers=json_body, body=b"[" * 100_000),
        _packed("no gzip at all", 400, "gzip", b"\x00" * 1_000),
        _packed("gzip bomb", 413, "gzip", gzip.compress(bytes(80 * _MEBIBYTE), 9)),
        _packed("zstd bomb", 413, "zstd", zstandard.compress(bytes(256 * _MEBIBYTE), 3)),
        Misdeed("17 MiB", frozenset({413}), headers={"Content-Type": NDJSON}, body=b"\n" * (17 * _MEBIBYTE)),
        Misdeed("unknown type", frozenset({415}), headers={"Content-Type": "text/csv"}, body=b"a,b\n"),
        _packed("unknown encoding", 415, "compress", b"abc"),
        _row("vehicle id of 10,000 letters", frame | {"vehicle_id": long_id}),
        _row("huge arbitration id", frame | {"arbitration_id": 1 << 62}),
        Misdeed("path of 10,000 letters", frozenset({400, 404, 414, 422}), "GET", f"/v1/vehicles/{long_id}/latest"),
        Misdeed("unknown vehicle", frozenset({404}), "GET", "/v1/vehicles/nobody/latest"),
        Misdeed("range that ends before it begins", frozenset({400}), "GET", "/v1/anomalies?from=2&to=1"),
        Misdeed("wrong method", frozenset({405}), "DELETE"),
    ]


def fault(misdeed: Misdeed, status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """What is wrong with an answer to `misdeed`; None where it is right."""
    if status in {429, 503}:
        return None if headers.get("Retry-After") else f"{status} without Retry-After"
    if status not in misdeed.statuses:
        return f"{status} instead of {' or '.join(map(str, sorted(misdeed.statuses)))}"
    if status < 400:
        counts = json.loads(body)
        return None if counts["dead_lettered"] == counts["received"] else "a bad row was accepted"
    if (headers.get("Content-Type") or "").partition(";")[0] != PROBLEM:
        return f"{status} is no problem document"
    return None if json.loads(body)["status"] == status else f"{status}, but the document says otherwise"


def _packed(name: str, status: int, encoding: str, body: bytes) -> Misdeed:
    headers = {"Content-Type": NDJSON, "Content-Encoding": encoding}
    return Misdeed(name, frozenset({status}), headers=headers, body=body)


def _row(name: str, row: dict[str, Any]) -> Misdeed:
    """A readable body with a row that breaks a rule: it becomes a dead letter."""
    return Misdeed(name, frozenset({202}), headers={"Content-Type": JSON}, body=json.dumps([row]).encode())
