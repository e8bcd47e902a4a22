"""Pseudonyms at every door, and forgetting over HTTP: no VIN is kept, and who knows it can still ask by it."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from serve_shard_platform import ShardPlatform
from serve_stand_in import BOOTSTRAP, StandIn, bearer, check_problem, client

from pipeline.privacy.pseudonyms import Pseudonyms
from serve.gateway import Door, FramesEndpoint
from serve.logs import LogsEndpoint
from serve.query import build_query_app
from simulator.body import arrow_stream

VIN, OTHER = "WVWZZZ1JZXW000007", "1FTFW1ET5DFC10312"
PSEUDONYMS = Pseudonyms("vin", bytes(range(32)))
NAME = PSEUDONYMS.of("default", VIN)


@pytest.fixture
def platform(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path, pseudonyms=PSEUDONYMS)


def frame(vehicle: str = VIN, **changed: Any) -> dict[str, Any]:
    return {"vehicle_id": vehicle, "timestamp": time.time_ns() // 1000, "arbitration_id": 256, "data": "00ff"} | changed


def ask(app: Any, method: str, path: str, key: str = BOOTSTRAP, **request: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        async with client(app) as http:
            headers = bearer(key) | request.pop("headers", {})
            return await http.request(method, path, headers=headers, **request)

    return asyncio.run(send())


def send(platform: StandIn, body: bytes, content_type: str, key: str = BOOTSTRAP, **headers: str) -> httpx.Response:
    headers = {"Content-Type": content_type, **headers}
    return ask(FramesEndpoint(Door(platform)), "POST", "/v1/frames", key, content=body, headers=headers)


def arrow() -> bytes:
    batch = pa.record_batch(
        {
            "vehicle_id": pa.array([VIN, "truck-7"]),
            "timestamp": pa.array([time.time_ns() // 1000] * 2, pa.timestamp("us", "UTC")),
            "arbitration_id": pa.array([1, 2], pa.uint32()),
            "data": pa.array([b"\1", b"\2"], pa.binary()),
        }
    )
    return arrow_stream(batch)


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize(
    ("body", "content_type", "headers"),
    [
        (lines(frame(), frame("truck-7")), "application/x-ndjson", {}),
        (json.dumps([frame(), frame("truck-7")]).encode(), "application/json", {}),
        (gzip.compress(lines(frame(), frame("truck-7"))), "application/x-ndjson", {"Content-Encoding": "gzip"}),
        (arrow(), "application/vnd.apache.arrow.stream", {}),
        (lines(frame(), frame("truck-7")) * 1500, "application/x-ndjson", {}),
    ],
)
def test_no_shard_ever_sees_the_vin(platform: StandIn, body: bytes, content_type: str, headers: dict[str, str]) -> None:
    assert send(platform, body, content_type, **headers).status_code == 202
    assert {row["vehicle_id"] for row in platform.frames()} == {NAME, "truck-7"}


def test_rejected_rows_lose_it_too(platform: StandIn) -> None:
    body = lines(frame(), frame(data="0"), frame(arbitration_id=None)) + f'{{"vehicle_id":"{VIN}", junk\n'.encode()
    answer = send(platform, body, "application/x-ndjson")
    assert (answer.json()["accepted"], answer.json()["dead_lettered"]) == (1, 3)
    [(_, taken)] = platform.submissions
    assert taken.dead_letters is not None
    payloads = taken.dead_letters.column("payload").to_pylist()
    assert all(NAME in payload and VIN not in payload for payload in payloads)


def test_a_log_is_kept_under_the_pseudonym(platform: StandIn) -> None:
    query = f"vehicle_id={VIN}&filename={VIN}.log"
    body = b"(1700000000.5) can0 1A3#00\n(0.5) can0 1A3#00\n"
    answer = ask(LogsEndpoint(platform), "POST", f"/v1/logs?{query}", content=body)
    assert answer.status_code == 202, answer.text
    assert {row["vehicle_id"] for row in platform.frames()} == {NAME}
    letters = [one.dead_letters.to_pylist() for _, one in platform.submissions if one.dead_letters is not None]
    assert letters
    assert VIN not in str(letters)


def test_a_key_bound_to_a_vin_keeps_no_vin(platform: StandIn) -> None:
    app = build_query_app(platform)
    wanted = {"fleet": "default", "scopes": ["ingest"], "vehicles": [VIN, "1FT*"]}
    made = ask(app, "POST", "/v1/keys", json=wanted).json()
    assert made["vehicles"] == [NAME, "1FT*"]
    key = made["key"]
    for vehicle in (VIN, VIN.lower(), NAME, OTHER):
        assert send(platform, lines(frame(vehicle)), "application/x-ndjson", key).status_code == 202
    stranger = "JH4KA8260MC000000"
    for body in (lines(frame(stranger)), lines(frame(stranger, data="0"), frame(stranger))):
        problem = check_problem(send(platform, body, "application/x-ndjson", key), 403, "other-vehicle")
        assert stranger not in str(problem)
        assert PSEUDONYMS.of("default", stranger) in problem["detail"]
    # Made before pseudonyms were turned on.
    old = platform.key("default", "ingest", vehicles=[VIN])
    assert send(platform, lines(frame()), "application/x-ndjson", old).status_code == 202
    assert ask(LogsEndpoint(platform), "POST", f"/v1/logs?vehicle_id={stranger}&filename=a.log", old).status_code == 403


def test_who_knows_the_vin_can_ask_by_it(platform: StandIn) -> None:
    state = {"vehicle_id": NAME, "last_seen": 1, "frames": 1, "signals": []}
    platform.state[("default", NAME)] = state
    app = build_query_app(platform)
    for name in (VIN, VIN.lower(), NAME):
        assert ask(app, "GET", f"/v1/vehicles/{name}/latest").json() == state
        assert ask(app, "GET", f"/v1/vehicles/{name}/gaps").json()["vehicle_id"] == NAME
    problem = check_problem(ask(app, "GET", f"/v1/vehicles/{OTHER}/latest"), 404, "not-found")
    assert OTHER not in str(problem)


def test_a_dead_letter_is_replayed_under_the_name_it_has(
    shard_platform: ShardPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_platform, "pseudonyms", PSEUDONYMS)
    fleet = "private"
    name = PSEUDONYMS.of(fleet, VIN)
    key = shard_platform.key(fleet, "ingest", "admin")
    body = lines(frame(session=1, sequence=1), frame(session=1, sequence=2, data="0"))
    assert send(shard_platform, body, "application/x-ndjson", key).json()["dead_lettered"] == 1
    shard_platform.settle()
    app = build_query_app(shard_platform)
    [letter] = ask(app, "GET", "/v1/dead-letters", key).json()["dead_letters"]
    row = json.loads(letter["payload"])
    assert row["vehicle_id"] == name
    for mended in (row | {"data": "00"}, row | {"data": "00", "vehicle_id": VIN}):
        given = {"ids": [letter["id"]], "payload": json.dumps(mended)}
        ask(app, "POST", "/v1/dead-letters/replay", key, json=given)
        send(shard_platform, lines(frame(session=1, sequence=2, data="0")), "application/x-ndjson", key)
    shard_platform.settle()
    ids = shard_platform.warehouse.rows("SELECT DISTINCT vehicle_id AS v FROM frames WHERE fleet = 'private'")
    assert ids == [{"v": name}]


def test_a_fleet_forgets_its_own_vehicle_and_learns_nothing_of_others(shard_platform: ShardPlatform) -> None:
    app = build_query_app(shard_platform)
    keys = {fleet: shard_platform.key(fleet, "ingest", "query", "admin") for fleet in ("mine", "theirs")}
    body = lines(*(frame("bus-1", session=1, sequence=n) for n in range(5)), frame("bus-1", data="0"))
    for key in keys.values():
        assert send(shard_platform, body, "application/x-ndjson", key).status_code == 202
    answer = ask(app, "DELETE", "/v1/vehicles/bus-1", keys["mine"])
    assert answer.status_code == 200, answer.text
    removed = answer.json()["removed"]
    assert (removed["frames"], removed["dead_letters"], removed["live_vehicles"]) == (5, 1, 1)
    assert (shard_platform.stored("mine"), len(shard_platform.stored("theirs"))) == ([], 5)
    again = ask(app, "DELETE", "/v1/vehicles/bus-1", keys["mine"]).json()
    unknown = ask(app, "DELETE", "/v1/vehicles/never-was", keys["mine"]).json()
    for nothing in (again, unknown):
        assert {place for place, count in nothing["removed"].items() if count} <= {"journal_bytes"}
    check_problem(ask(app, "DELETE", "/v1/vehicles/bus-1", shard_platform.key("mine", "query")), 403, "forbidden")
    assert len(shard_platform.stored("theirs")) == 5


def test_what_was_stored_under_the_vin_before_goes_too(
    shard_platform: ShardPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = "changed"
    key = shard_platform.key(fleet, "ingest", "admin")
    assert send(shard_platform, lines(frame(session=1, sequence=1)), "application/x-ndjson", key).status_code == 202
    monkeypatch.setattr(shard_platform, "pseudonyms", PSEUDONYMS)
    monkeypatch.setattr(shard_platform, "latest", shard_platform.latest_of_shard)
    assert send(shard_platform, lines(frame(session=1, sequence=2)), "application/x-ndjson", key).status_code == 202
    shard_platform.settle()
    assert len(shard_platform.stored(fleet)) == 2
    answer = ask(build_query_app(shard_platform), "DELETE", f"/v1/vehicles/{VIN}", key)
    assert (answer.status_code, VIN in answer.text) == (200, False)
    assert (answer.json()["removed"]["frames"], answer.json()["removed"]["live_vehicles"]) == (2, 2)
    assert shard_platform.stored(fleet) == []
