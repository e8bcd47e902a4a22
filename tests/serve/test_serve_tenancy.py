"""A fleet neither reads nor writes nor learns of what is another's, by any endpoint and parameter of the description.

The endpoints and their parameters come from `/openapi.json`: a new one without a case here fails the first tests. What
they are tried on are two worlds that differ in one thing, whether another fleet exists: whatever a fleet asks, with
whatever it might know of the other, each byte of the answers must be the same in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest
from clickhouse_process import HostProcess
from serve_joined import Joined
from serve_sockets import served
from serve_stand_in import bearer
from serve_tenant_requests import (
    ABSENT,
    BEGIN,
    NO_KEY,
    NO_LETTER,
    OTHERS_VEHICLE,
    SHARED,
    Asked,
    Secrets,
    requests_of,
)
from serve_whole_platform import close, opened

import serve.key_routes
import serve.log_process
from pipeline.shard.rate import Rate
from serve.query import build_query_app
from tests.fuzz.front_door import read_here

OPEN: Final = {"healthz", "readyz"}
OPERATORS: Final = {"storage"}
"""What tells of all fleets is refused to each of them."""

_MASKED: Final = re.compile(
    # Times of the answer, and what names it.
    rb'"(detected_at|instance|now|created|last_used|revoked_at)":("[^"]*"|\d+|null)|cf_[\w-]+'
)
_KEY_ID: Final = re.compile(rb'"id":"\w+"')


class World:
    """A platform on a socket with the fleet `south`, and with `north` or without."""

    def __init__(self, host: HostProcess, folder: Path, *, with_north: bool) -> None:
        name = f"db_tenancy_{'two' if with_north else 'one'}"
        fence = {"circle": {"latitude": 48.1, "longitude": 11.5, "radius_m": 9}, "fleets": ["north"]}
        settings = {"rate_limits": {"unauthenticated": ""}, "history": {"geofences": {"secret": fence}}}
        self.platform = opened(host, folder, name, **settings)
        self._feed("south", SHARED, 300, letters=2)
        if with_north:
            self._feed("north", OTHERS_VEHICLE, 200, letters=5)
            self._feed("north", SHARED, 100, letters=3)
        self.platform.settle()
        # How fast frames come in this very second depends on which world was filled last.
        self.platform.shard.rate = Rate()
        self.keys = {
            fleet: {scope: self.platform.key(fleet, scope) for scope in ("ingest", "query", "admin")}
            for fleet in (("south", "north") if with_north else ("south",))
        }
        joined = Joined(self.platform)
        self.document = joined.document
        self._scopes = {
            what["operationId"]: _scopes(what) for ways in self.document["paths"].values() for what in ways.values()
        }
        self._stack = ExitStack()
        self._http = self._stack.enter_context(httpx.Client(base_url=self._stack.enter_context(served(joined))))

    def close(self) -> None:
        self._stack.close()
        close(self.platform)

    def ask(self, asked: Asked, fleet: str = "south", key: str | None = None, **headers: str) -> httpx.Response:
        """The answer; of the live feed its first event."""
        headers |= asked.headers | bearer(key or self.keys[fleet][self.scopes(asked.operation)[0]])
        url = asked.path + (f"?{urlencode(asked.query)}" if asked.query else "")
        with self._http.stream(asked.method.upper(), url, content=asked.body, headers=headers) as answer:
            if answer.headers["content-type"].startswith("text/event-stream"):
                answer._content = next(answer.iter_bytes())
            else:
                answer.read()
        return answer

    def scopes(self, operation: str) -> list[str]:
        """The scopes of which an operation wants one; any for those that want no key."""
        return self._scopes[operation]

    def _feed(self, fleet: str, vehicle: str, speed: int, *, letters: int) -> None:
        """Frames with a value that the fleet can be told by, an anomaly, a gap, and dead letters."""
        rows = [
            {
                "vehicle_id": vehicle,
                "timestamp": BEGIN + i * 1_000_000,
                "arbitration_id": 256,
                "data": (9_000 if i == 5 else speed).to_bytes(2, "little").hex() + "000000000000",
                "session": 1,
                "sequence": 2 * i,
            }
            for i in range(20)
        ]
        lines = [*map(json.dumps, rows), *(f"{{ {fleet} {vehicle} {i}" for i in range(letters))]
        self.platform.send(fleet, "\n".join(lines).encode(), BEGIN + 60_000_000, f"{fleet}-{vehicle}")

    @property
    def letter(self) -> str:
        """A dead letter of the north."""
        listed = self.ask(Asked("list_dead_letters", "get", "/v1/dead-letters"), "north").json()
        return str(listed["dead_letters"][0]["id"])

    @property
    def key_id(self) -> str:
        """A key of the north."""
        [record] = [one for one in self.platform.store.records("north") if one.scopes == {"query"}]
        return record.id


def _scopes(operation: dict[str, Any]) -> list[str]:
    found = [scopes[0] for one in operation.get("security", []) for scopes in one.values()]
    return list(dict.fromkeys(found)) or ["query"]


def told(answer: httpx.Response, operation: str) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that an answer tells, less times and ids of the answer itself."""
    body = _MASKED.sub(rb"\1", answer.content)
    if "_key" in operation:
        body = _KEY_ID.sub(b"", body)
    ignored = {"date", "x-request-id", "content-length"}
    return answer.status_code, body, sorted((n, v) for n, v in answer.headers.items() if n not in ignored)


@pytest.fixture(scope="module")
def worlds(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, World]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve.key_routes, "WAIT_S", 0.0)
        patch.setattr(serve.log_process, "read_apart", read_here)
        two = World(host, tmp_path_factory.mktemp("two"), with_north=True)
        one = World(host, tmp_path_factory.mktemp("one"), with_north=False)
        yield two, one
        two.close()
        one.close()


@pytest.fixture(scope="module")
def known(worlds: tuple[World, World]) -> Secrets:
    return Secrets(worlds[0].letter, worlds[0].key_id)


def test_what_belongs_to_another_fleet_looks_like_what_does_not_exist(
    worlds: tuple[World, World], known: Secrets
) -> None:
    two, _ = worlds
    pairs = {OTHERS_VEHICLE: ABSENT, known.letter: NO_LETTER, known.key: NO_KEY}
    compared = set()
    for asked in requests_of(two.document, known):
        for others, nobodys in pairs.items():
            absent = asked.replaced(others, nobodys)
            # A cursor is a point in time, whoever's letter it names; and whoever sends frames has the vehicle then.
            if absent == asked or "cursor" in asked.query or asked.operation in ("send_frames", "send_log"):
                continue
            status, body, headers = told(two.ask(asked), asked.operation)
            expected = told(two.ask(absent), asked.operation)
            assert (status, body.replace(others.encode(), nobodys.encode()), headers) == expected, asked
            compared.add((asked.operation, others))
    assert {operation for operation, _ in compared} >= {
        "latest_values", "sequence_gaps", "signal_history", "list_anomalies", "show_dead_letter",
        "purge_dead_letter", "replay_dead_letters", "revoke_key", "rotate_key",
    }  # fmt: skip


def test_a_fleet_cannot_tell_whether_another_exists_nor_change_what_it_has(
    worlds: tuple[World, World], known: Secrets
) -> None:
    two, one = worlds
    every = list(requests_of(two.document, known))
    assert {asked.operation for asked in every} == {
        what["operationId"] for ways in two.document["paths"].values() for what in ways.values()
    }
    reads = [asked for asked in every if asked.method == "get"]
    before = [told(two.ask(asked, "north"), asked.operation) for asked in reads]
    # The comparison is worth something: the north itself is told other things.
    differing = {
        asked.operation
        for asked, norths in zip(reads, before, strict=True)
        if norths != told(two.ask(asked), asked.operation)
    }
    assert differing == {asked.operation for asked in reads} - OPEN - OPERATORS
    for asked in every:
        assert told(two.ask(asked), asked.operation) == told(one.ask(asked), asked.operation), asked
    two.platform.settle()
    two.platform.shard.rate = Rate()
    after = [two.ask(asked, "north", **{"Cache-Control": "no-cache"}) for asked in reads]
    assert [told(answer, asked.operation) for answer, asked in zip(after, reads, strict=True)] == before


def test_every_operation_wants_one_of_its_scopes(worlds: tuple[World, World], known: Secrets) -> None:
    two, _ = worlds
    for asked in requests_of(two.document, known):
        if asked.operation in OPEN:
            continue
        wanted = two.scopes(asked.operation)
        for scope in {"ingest", "query", "admin"} - set(wanted):
            assert two.ask(asked, key=two.keys["south"][scope]).status_code == 403, asked
        assert two.ask(asked, key="cf_abcdefghijkl_wrong").status_code == 401, asked


def test_a_wrong_secret_says_nothing_of_the_key(worlds: tuple[World, World], known: Secrets) -> None:
    two, _ = worlds
    asked = Asked("list_vehicles", "get", "/v1/vehicles")
    answers = [told(two.ask(asked, key=f"cf_{key}_{'a' * 43}"), asked.operation) for key in (known.key, NO_KEY)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 401


def test_the_live_feed_is_the_fleets_own(worlds: tuple[World, World]) -> None:
    two, _ = worlds
    with two._http.stream("GET", "/v1/live", headers=bearer(two.keys["south"]["query"])) as answer:
        lines = answer.iter_lines()
        while next(lines) != "event: summary":
            pass
        # The feed is at work once the second summary comes: what happens now is told.
        while next(lines) != "event: summary":
            pass
        for fleet, vehicle in (("north", "secret-1"), ("south", "open-1"), ("north", "secret-2"), ("south", "open-2")):
            two._feed(fleet, vehicle, 100, letters=0)
            two.platform.settle()
        heard: list[str] = []
        while not any("open-2" in line for line in heard):
            heard.append(next(lines))
    assert any("open-1" in line for line in heard)
    assert not any("secret" in line or "north" in line for line in heard)


def test_what_another_fleet_may_still_send_is_not_told(host: HostProcess, tmp_path: Path) -> None:
    platform = opened(host, tmp_path, "db_tenancy_rates", rate_limits={"fleet": {"requests": "1000/h"}})
    try:
        with served(build_query_app(platform)) as url, httpx.Client(base_url=url) as http:
            keys = {fleet: bearer(platform.key(fleet, "query")) for fleet in ("north", "south")}
            first = http.get("/v1/vehicles", headers=keys["south"]).headers["ratelimit"]
            for _ in range(100):
                busy = http.get("/v1/vehicles", headers=keys["north"]).headers["ratelimit"]
            then = http.get("/v1/vehicles", headers=keys["south"]).headers["ratelimit"]
    finally:
        close(platform)
    left = [int(re.findall(r"r=(\d+)", text)[0]) for text in (first, busy, then)]
    assert left[0] - left[1] > 90
    assert left[0] - left[2] <= 1
