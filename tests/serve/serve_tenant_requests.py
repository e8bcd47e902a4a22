"""Every request that a fleet can make by the API's description, with what it might know of another fleet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from serve_whole_platform import hour_before_last

from pipeline.frames.body import ARROW, JSON, NDJSON

BEGIN: Final = hour_before_last()
OTHERS_VEHICLE, SHARED, ABSENT = "truck-n", "truck", "truck-x"
"""Vehicles of the other fleet alone, of both, and of none."""
NO_LETTER, NO_KEY = f"{BEGIN}-0123456789abcdef", "abcdefghijkl"
CANDUMP: Final = b"(1785000000.000123) can0 100#0001020304050607\n"
LIVE: Final = "live_feed"


@dataclass(frozen=True)
class Secrets:
    """What the other fleet has, and what a fleet might have got to know of it."""

    letter: str
    key: str


@dataclass(frozen=True)
class Asked:
    """One request, made from an operation of the description."""

    operation: str
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def replaced(self, what: str, by: str) -> Asked:
        """The same with a text replaced wherever it stands."""
        return Asked(
            self.operation,
            self.method,
            self.path.replace(quote(what), quote(by)),
            {name: value.replace(what, by) for name, value in self.query.items()},
            self.headers,
            self.body.replace(what.encode(), by.encode()),
        )


def values_of(name: str, known: Secrets) -> list[str] | None:
    """What a fleet tries in a parameter; None where nobody has thought about it."""
    return {
        "vehicle_id": [OTHERS_VEHICLE, SHARED, ABSENT],
        "signal": ["EngineSpeed", "Torque"],
        "message": ["Engine", "Nothing"],
        "step": ["1m"],
        "from": [str(BEGIN)],
        "to": [str(BEGIN + 3_600_000_000)],
        "kind": ["out_of_range", "stuck"],
        "limit": ["1"],
        "reason": ["not_json", "timestamp_in_future"],
        "stage": ["parse"],
        "cursor": [known.letter, NO_LETTER],
        "letter_id": [known.letter, NO_LETTER],
        "all": ["true"],
        "by": ["max"],
        "top": ["1"],
        "rate": ["50000"],
        "shard": ["0", "7"],
        # Logs begin with the time at which they were written.
        "format": ["parquet"],
        "fleet": ["north", "south", "west"],
        "key_id": [known.key, NO_KEY],
        "filename": ["drive.log"],
        "start": ["2026-01-31T12:00:00Z"],
        "Content-Encoding": ["identity"],
        "X-Canfleet-Lane": ["backfill"],
        "X-Request-Id": ["tried"],
        "traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    }.get(name)


def bodies_of(operation: str, known: Secrets) -> list[tuple[str, bytes]] | None:
    """Content types and bodies that a fleet tries; None where nobody has thought about it."""
    frame = {"vehicle_id": OTHERS_VEHICLE, "timestamp": BEGIN, "arbitration_id": 256, "data": "0001"}
    replays = [{"ids": [known.letter]}, {"ids": [known.letter], "payload": json.dumps(frame)}, {"filter": {}}]
    keys = [{"fleet": "north", "scopes": ["query"]}, {"fleet": "south", "scopes": ["query"]}]
    return {
        "send_frames": [(JSON, json.dumps([frame]).encode()), (NDJSON, b"{"), (ARROW, b"")],
        "send_log": [("application/octet-stream", CANDUMP)],
        "replay_dead_letters": [(JSON, json.dumps(one).encode()) for one in replays],
        "move_shard": [(JSON, b'{"actor": 0}'), (JSON, b'{"actor": 1}')],
        "create_key": [(JSON, json.dumps(one).encode()) for one in keys],
    }.get(operation)


_ORDER: Final = ("get", "post", "delete")
"""What changes something comes after what only reads."""


def requests_of(document: dict[str, Any], known: Secrets) -> Iterator[Asked]:
    """Every operation with every value of each of its parameters, one at a time, and every body."""
    found = [(way, path, what) for path, ways in document["paths"].items() for way, what in ways.items()]
    for method, path, operation in sorted(found, key=lambda one: _ORDER.index(one[0])):
        parameters = [_resolved(document, one) for one in operation["parameters"]]
        plain: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
        tried = []
        for parameter in parameters:
            values = values_of(parameter["name"], known)
            assert values, f"{operation['operationId']}: say in `values_of` what another fleet's {parameter['name']} is"
            # Up to now is another range each time.
            if parameter["required"] or parameter["name"] in ("from", "to"):
                plain[parameter["in"]][parameter["name"]] = values[0]
            tried += [(parameter["in"], parameter["name"], value) for value in values]
        bodies = [("", b"")]
        if "requestBody" in operation:
            bodies = bodies_of(operation["operationId"], known) or []
            assert bodies, f"say in `bodies_of` what a fleet may send to {operation['operationId']}"
        variants = [(None, None, None), *tried] if operation["operationId"] != LIVE else [(None, None, None)]
        for place, name, value in variants:
            given = {where: dict(texts) for where, texts in plain.items()}
            if place is not None:
                given[place][name] = value
            for content_type, body in bodies:
                headers = given["header"] | ({"Content-Type": content_type} if content_type else {})
                yield Asked(
                    operation["operationId"], method, _filled(path, given["path"]), given["query"], headers, body
                )


def _resolved(document: dict[str, Any], parameter: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in parameter:
        return document["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[-1]]
    return parameter


def _filled(path: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path
