"""Requests to every endpoint that the API describes, with parameters, headers and bodies right and wrong."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import quote

from tests.fuzz.arrow_streams import stream
from tests.fuzz.front_door import AWAY, LETTER, NOON, REFUSED
from tests.fuzz.json_text import json_list, ndjson, row
from tests.fuzz.mutation import mutated
from tests.serve.serve_stand_in import BOOTSTRAP

_CANDUMP: Final = b"(1700000000.100000) can0 1A3#0011\n(1700000000.200000) can1 18FEF100#FF\n"
_VALUES: Final = (
    "v1",
    "Speed",
    LETTER,
    REFUSED,
    AWAY,
    "a.log",
    "../x.LOG.gz",
    "true",
    "",
    "1",
    "0",
    "-1",
    "1000",
    str(NOON),
    "9" * 16,
    "9" * 5_000,
    "2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00 05:30",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "10s",
    "0.000001us",
    "999999999d",
    "٣",
    "\x00",
    "é" * 64,
    "x" * 65,
    "\ud800",
    "bootstrap",
    "replay",
    "{}",
)
_JSON_VALUES: Final[tuple[Any, ...]] = (
    *_VALUES,
    None,
    True,
    0,
    -1,
    1 << 62,
    1 << 63,
    1 << 64,
    10**30,
    1.5,
    [],
    {},
    ["query"],
    [[]],
)
_NAMES: Final = ("ids", "filter", "payload", "cursor", "limit", "fleet", "scopes", "expires_at", "vehicles", "\ud800")
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "/v1/keys": {"fleet": "north", "scopes": ["ingest"], "vehicles": ["truck-*"], "expires_at": NOON * 2},
    "/v1/dead-letters/replay": {"ids": [LETTER], "payload": "{}", "limit": 5},
}
_TYPES: Final = (
    "application/json",
    "application/x-ndjson",
    "application/vnd.apache.arrow.stream",
    "application/octet-stream",
    "text/csv",
    "Application/JSON; charset=utf-16",
    "",
    "é",
)
_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "content-encoding": ("gzip", "zstd", "br", "identity", ""),
    "content-length": ("0", "10", "-1", "ten", "", "9" * 30, "9" * 5_000, "٣"),
    "x-canfleet-lane": ("backfill", "critical", "BACKFILL", ""),
    "x-request-id": ("ok-1", "no\tno", "é", "x" * 200),
    "traceparent": (f"00-{'a' * 32}-{'b' * 16}-01", "x"),
    "x-canfleet-address": ("127.0.0.1", "fe80::1%eth0", "::", "nowhere", "é"),
    "if-none-match": ("*",),
    "accept": ("text/event-stream", "*/*;q=é"),
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, as the server hands it to an application. `gone` tells that the client left within the body."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    gone: bool = False

    def as_json(self) -> dict[str, Any]:
        """A document that `from_json` reads."""
        body = base64.b64encode(self.body).decode()
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": body,
            "gone": self.gone,
        }

    @staticmethod
    def from_json(document: dict[str, Any]) -> HttpRequest:
        """The request of a document."""
        headers = [(name, value) for name, value in document["headers"]]
        return HttpRequest(**document | {"headers": headers, "body": base64.b64decode(document["body"])})


def request(random: Random, document: dict[str, Any], keys: Sequence[str]) -> HttpRequest:
    """A request to an operation of the OpenAPI `document`, most of them with a key that may do it.

    Where one of `keys` is meant, its name stands in braces, so that a request means the same on another stand-in.
    """
    template, method = random.choice([(path, method) for path, ways in document["paths"].items() for method in ways])
    operation = document["paths"][template][method]
    path = "/".join(_text(random, "v1") if part.startswith("{") else part for part in template.split("/"))
    if random.random() < 0.02:
        path = random.choice((path + "/", path + "/x", "//", "/é", ""))
        method = random.choice(("PUT", "HEAD", "OPTIONS"))
    names = [one["name"] for one in operation["parameters"] if one.get("in") == "query"]
    pairs = [f"{name}={quote(_text(random, '').encode('utf-8', 'replace'))}" for name in names if random.random() < 0.5]
    query = "&".join(pairs)
    if random.random() < 0.1:
        query = mutated(query.encode(), random).decode("latin-1")
    body = _body(random, template) if method == "post" or random.random() < 0.02 else b""
    return HttpRequest(method.upper(), path, query, _headers(random, template, keys), body, random.random() < 0.01)


def _text(random: Random, usual: str) -> str:
    return usual if usual and random.random() < 0.5 else random.choice(_VALUES).encode("utf-8", "replace").decode()


def _headers(random: Random, template: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    key = BOOTSTRAP if random.random() < 0.85 else random.choice((*(f"{{{name}}}" for name in keys), "cf_x", "é", ""))
    presented = [("authorization", f"Bearer {key}"), ("x-api-key", key), ("authorization", key)]
    chosen = [random.choice(presented[: 3 if random.random() < 0.1 else 2])] if random.random() < 0.98 else []
    usual = _TYPES[:3] if template == "/v1/frames" else _TYPES[:1]
    chosen.append(("content-type", random.choice(usual if random.random() < 0.9 else _TYPES)))
    for name, values in _HEADERS.items():
        if random.random() < 0.04:
            chosen.append((name, random.choice(values)))
    return chosen


def _body(random: Random, template: str) -> bytes:
    if template in _BODIES:
        body = _document(random, _BODIES[template]).encode("utf-8", "surrogatepass")
    elif template == "/v1/logs":
        body = _CANDUMP
    else:
        body = random.choice((ndjson, json_list, json_list, stream))(random)
    chance = random.random()
    if chance < 0.02:
        depth = random.choice((300, 450, 700, 900, 20_000))
        return random.choice((b'{"x":' * depth + b"1" + b"}" * depth, b"[" * depth + b"]" * depth))
    if chance < 0.2:
        return mutated(body, random)
    return gzip.compress(body, 1) if chance < 0.25 else body


def _document(random: Random, sound: dict[str, Any]) -> str:
    given = dict(sound)
    for _ in range(random.choice((0, 1, 1, 2))):
        name = random.choice((*_NAMES, *given))
        given[name] = random.choice(_JSON_VALUES)
    if "payload" in given and random.random() < 0.5:
        given["payload"] = row(random)
    if random.random() < 0.2:
        given = {name: value for name, value in given.items() if name not in ("ids", "payload")}
        given["filter"] = {random.choice(("reason", "stage", "from", "to", "é")): random.choice(_JSON_VALUES)}
    return json.dumps(given, ensure_ascii=random.random() < 0.5)
