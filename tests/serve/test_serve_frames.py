"""`POST /v1/frames` as pure HTTP: every status of the contract, and what reaches the shards."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import RayActorError
from serve_stand_in import BOOTSTRAP, StandIn, StandInLayout, bearer, check_problem, client

from pipeline.config import CanfleetConfig
from pipeline.errors import Overloaded
from pipeline.frames.body import read_body
from pipeline.frames.limits import FrameLimits
from serve.gateway import Door, FramesEndpoint
from serve.intake import split
from simulator.body import arrow_stream

ARROW = "application/vnd.apache.arrow.stream"
NDJSON = "application/x-ndjson"


def frame(vehicle: str = "v1", sequence: int = 0, **changed: Any) -> dict[str, Any]:
    made = {"vehicle_id": vehicle, "timestamp": time.time_ns() // 1000, "arbitration_id": 256, "data": "00ff"}
    return made | {"session": 1, "sequence": sequence} | changed


def ndjson(*frames: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in frames)


def arrow(n: int) -> bytes:
    batch = pa.record_batch(
        {
            "vehicle_id": pa.array([f"v{i % 50}" for i in range(n)]),
            "timestamp": pa.array([time.time_ns() // 1000] * n, pa.timestamp("us", "UTC")),
            "arbitration_id": pa.array(range(n), pa.uint32()),
            "data": pa.array([b"\x01\x02"] * n, pa.binary()),
        }
    )
    return arrow_stream(batch)


def post(platform: StandIn, body: Any, headers: dict[str, str], method: str = "POST", path: str = "/v1/frames"):
    async def send():
        async with client(FramesEndpoint(Door(platform))) as http:
            return await http.request(method, path, content=body, headers=headers)

    return asyncio.run(send())


@pytest.fixture
def platform(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def test_a_good_request_is_counted_and_kept(platform: StandIn) -> None:
    frames = [frame(f"v{i}", i) for i in range(40)]
    headers = {"X-API-Key": BOOTSTRAP, "Content-Type": NDJSON, "X-Request-Id": "drive-1"}
    answer = post(platform, ndjson(*frames), headers)
    assert answer.status_code == 202
    assert answer.json() == {"received": 40, "accepted": 40, "duplicates": 0, "dead_lettered": 0}
    assert answer.headers["x-request-id"] == "drive-1"
    kept = platform.frames()
    assert sorted(row["sequence"] for row in kept) == list(range(40))
    assert {shard for shard, _ in platform.submissions} == {0, 1}
    assert {submission.fleet for _, submission in platform.submissions} == {"default"}
    assert {submission.request_id for _, submission in platform.submissions} == {"drive-1"}


@pytest.mark.parametrize("n", [1, 5_000, 60_000])
def test_arrow_bodies_of_any_size_take_the_same_way(platform: StandIn, n: int) -> None:
    answer = post(platform, arrow(n), bearer(BOOTSTRAP) | {"Content-Type": ARROW})
    assert answer.json() == {"received": n, "accepted": n, "duplicates": 0, "dead_lettered": 0}
    assert sorted(row["arbitration_id"] for row in platform.frames()) == list(range(n))


def test_compressed_bodies_are_read(platform: StandIn) -> None:
    headers = bearer(BOOTSTRAP) | {"Content-Type": NDJSON, "Content-Encoding": "gzip"}
    assert post(platform, gzip.compress(ndjson(frame())), headers).json()["accepted"] == 1


def test_malformed_rows_travel_as_dead_letters_and_the_good_go_on(platform: StandIn) -> None:
    body = ndjson(frame(sequence=1), frame(sequence=2, arbitration_id=1 << 29), frame(vehicle="", sequence=3))
    answer = post(platform, body, bearer(BOOTSTRAP) | {"Content-Type": NDJSON})
    assert answer.json() == {"received": 3, "accepted": 1, "duplicates": 0, "dead_lettered": 2}
    assert [row["sequence"] for row in platform.frames()] == [1]
    assert len(platform.submissions) == 1


def test_a_request_without_a_good_row_still_keeps_its_dead_letters(platform: StandIn) -> None:
    answer = post(platform, ndjson(frame(vehicle="")), bearer(BOOTSTRAP) | {"Content-Type": NDJSON})
    assert answer.json() == {"received": 1, "accepted": 0, "duplicates": 0, "dead_lettered": 1}
    [(_, submission)] = platform.submissions
    assert submission.dead_letters.num_rows == 1


def test_an_empty_list_is_accepted_and_troubles_no_shard(platform: StandIn) -> None:
    answer = post(platform, b"[]", bearer(BOOTSTRAP) | {"Content-Type": "application/json"})
    assert answer.json() == {"received": 0, "accepted": 0, "duplicates": 0, "dead_lettered": 0}
    assert platform.submissions == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer "}, bearer("cf_abcdefghijkl_no"), {"X-API-Key": ""}],
)
def test_without_a_valid_key_nothing_is_read(platform: StandIn, headers: dict[str, str]) -> None:
    async def send():
        received = []

        async def receive() -> dict[str, Any]:
            received.append(1)
            return {"type": "http.disconnect"}

        sent: list[dict[str, Any]] = []

        async def deliver(message: dict[str, Any]) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/v1/frames", "headers": raw, "query_string": b""}
        await FramesEndpoint(Door(platform))(scope, receive, deliver)
        return received, sent

    received, sent = asyncio.run(send())
    assert received == []
    assert sent[0]["status"] == 401
    assert dict(sent[0]["headers"])[b"www-authenticate"].startswith(b"Bearer")


def test_a_key_without_scope_ingest_is_refused(platform: StandIn) -> None:
    answer = post(platform, ndjson(frame()), bearer(platform.key("north", "query")) | {"Content-Type": NDJSON})
    assert "ingest" in check_problem(answer, 403, "forbidden")["detail"]
    assert platform.submissions == []


@pytest.mark.parametrize(
    ("content_type", "body", "status", "kind"),
    [
        (ARROW, b"not arrow", 400, "unreadable-body"),
        (ARROW, b"", 400, "unreadable-body"),
        ("application/json", b"{", 400, "unreadable-body"),
        ("text/csv", b"a,b", 415, "unknown-content-type"),
        ("", b"a,b", 415, "unknown-content-type"),
    ],
)
def test_a_body_that_cannot_be_read(platform: StandIn, content_type: str, body: bytes, status: int, kind: str) -> None:
    check_problem(post(platform, body, bearer(BOOTSTRAP) | {"Content-Type": content_type}), status, kind)
    assert platform.submissions == []


def test_an_unknown_encoding_and_a_broken_one(platform: StandIn) -> None:
    headers = bearer(BOOTSTRAP) | {"Content-Type": NDJSON}
    check_problem(post(platform, b"x", headers | {"Content-Encoding": "br"}), 415, "unknown-content-type")
    broken = gzip.compress(ndjson(frame()))[:-9]
    check_problem(post(platform, broken, headers | {"Content-Encoding": "gzip"}), 400, "unreadable-body")


def test_bodies_too_large_by_header_by_stream_and_unpacked(tmp_path: Path) -> None:
    limits = FrameLimits(max_body_bytes=1000, max_decompressed_bytes=2000)
    platform = StandIn(tmp_path, CanfleetConfig(limits=limits))
    headers = bearer(BOOTSTRAP) | {"Content-Type": NDJSON}
    check_problem(post(platform, b" " * 1001, headers), 413, "body-too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    check_problem(post(platform, chunks(), headers), 413, "body-too-large")
    bomb = gzip.compress(b" " * 100_000)
    check_problem(post(platform, bomb, headers | {"Content-Encoding": "gzip"}), 413, "body-too-large")
    check_problem(post(platform, b"", headers | {"Content-Length": "ten"}), 400, "bad-request")


def test_overload_is_said_with_a_time_to_come_back(platform: StandIn) -> None:
    headers = bearer(BOOTSTRAP) | {"Content-Type": NDJSON}
    platform.fail_admit = Overloaded("shard 1 is full", 2.4)
    answer = post(platform, ndjson(frame()), headers)
    assert check_problem(answer, 503, "overloaded")["detail"] == "shard 1 is full"
    assert answer.headers["retry-after"] == "3"
    assert platform.submissions == []


@pytest.mark.parametrize("error", [RayActorError(), TimeoutError()])
def test_a_shard_that_is_away_is_a_503(platform: StandIn, error: Exception) -> None:
    platform.fail_submit = {0: error, 1: error}
    answer = post(platform, ndjson(frame()), bearer(BOOTSTRAP) | {"Content-Type": NDJSON})
    check_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def test_one_failing_shard_fails_the_request_after_the_others_have_answered(platform: StandIn) -> None:
    platform.fail_submit = {0: Overloaded("full")}
    frames = [frame(f"v{i}", i) for i in range(40)]
    answer = post(platform, ndjson(*frames), bearer(BOOTSTRAP) | {"Content-Type": NDJSON})
    check_problem(answer, 503, "overloaded")
    assert [shard for shard, _ in platform.submissions] == [1]


def test_a_fault_of_ours_is_a_problem_with_an_id_that_the_log_has(
    platform: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    platform.fail_submit = {0: ZeroDivisionError("secret detail"), 1: ZeroDivisionError("secret detail")}
    answer = post(platform, ndjson(frame()), bearer(BOOTSTRAP) | {"Content-Type": NDJSON})
    check_problem(answer, 500, "internal-error")
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
    assert "secret detail" in caplog.text


def test_other_methods_and_paths(platform: StandIn) -> None:
    answer = post(platform, b"", bearer(BOOTSTRAP), "GET")
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    check_problem(post(platform, b"", bearer(BOOTSTRAP), path="/v1/frames/x"), 404, "not-found")


@pytest.mark.parametrize("given_id", ["", "a" * 129, "line\tbreak", "ok id"])
def test_an_odd_request_id_is_replaced(platform: StandIn, given_id: str) -> None:
    answer = post(platform, b"[]", bearer(BOOTSTRAP) | {"Content-Type": "application/json", "X-Request-Id": given_id})
    assert answer.headers["x-request-id"] != given_id
    assert len(answer.headers["x-request-id"]) == 32


def test_more_bodies_than_the_budget_allows_are_refused(platform: StandIn) -> None:
    async def send() -> list[int]:
        endpoint = FramesEndpoint(Door(platform))
        endpoint.budget.total, endpoint.budget.reserve = 1_500, 0
        release = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"["
            await release.wait()
            yield b"]"

        headers = bearer(BOOTSTRAP) | {"Content-Type": "application/json"}
        async with client(endpoint) as http:
            first = asyncio.create_task(
                http.post("/v1/frames", content=slow(), headers=headers | {"Content-Length": "1000"})
            )
            while not endpoint.budget.used:
                await asyncio.sleep(0)
            second = await http.post("/v1/frames", content=b" " * 1000, headers=headers)
            release.set()
            assert endpoint.budget.used == 1000
            statuses = [(await first).status_code, second.status_code]
            assert endpoint.budget.used == 0
            return statuses

    assert asyncio.run(send()) == [202, 503]


@given(
    vehicles=st.lists(st.integers(0, 30), max_size=60),
    shards=st.integers(1, 5),
    bad=st.integers(0, 3),
)
def test_a_split_keeps_every_row_once_and_a_vehicle_on_one_shard(vehicles: list[int], shards: int, bad: int) -> None:
    rows = [frame(f"v{vehicle}", i) for i, vehicle in enumerate(vehicles)] + [frame("", 0)] * bad
    parsed = read_body(ndjson(*rows), NDJSON, None, FrameLimits(), time.time_ns() // 1000)
    layout = StandInLayout(16, (np.arange(16) % shards).astype(np.int32), shards)
    parts = split("north", parsed.frames, parsed.rejected, layout)
    kept = sorted(row["sequence"] for frames, _ in parts.values() for row in frames.to_pylist())
    assert kept == list(range(len(vehicles)))
    owners: dict[str, set[int]] = {}
    for shard, (frames, _) in parts.items():
        assert 0 <= shard < shards
        for vehicle in frames.column("vehicle_id").to_pylist():
            owners.setdefault(vehicle, set()).add(shard)
        sequences = frames.column("sequence").to_pylist()
        assert sequences == sorted(sequences)
    assert all(len(found) == 1 for found in owners.values())
    assert sum(dead.num_rows for _, dead in parts.values() if dead is not None) == bad


def test_answers_and_refused_frames_are_told_once_a_request(platform: StandIn) -> None:
    answers: list[tuple[int, float]] = []
    refused: list[int] = []

    async def send(body: bytes, kind: str) -> None:
        endpoint = FramesEndpoint(Door(platform))
        endpoint.on_answer = lambda status, seconds: answers.append((status, seconds))
        endpoint.on_refused_frames = refused.append
        async with client(endpoint) as http:
            await http.post("/v1/frames", content=body, headers=bearer(BOOTSTRAP) | {"Content-Type": kind})

    asyncio.run(send(ndjson(frame(), frame(sequence=1)), NDJSON))
    asyncio.run(send(b"x", "text/plain"))
    platform.fail_admit = Overloaded("full", 1.0)
    asyncio.run(send(ndjson(frame(), frame(sequence=1)), NDJSON))
    assert [status for status, _ in answers] == [202, 415, 503]
    assert all(0 < seconds < 60 for _, seconds in answers)
    assert refused == [2]


def test_a_key_bound_to_vehicles_sends_frames_of_no_other(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    headers = bearer(platform.key("north", "ingest", vehicles=["v1", "truck-*"])) | {"Content-Type": NDJSON}
    assert post(platform, ndjson(frame("v1"), frame("truck-7")), headers).status_code == 202
    problem = check_problem(post(platform, ndjson(frame("v1", 1), frame("v2")), headers), 403, "other-vehicle")
    assert "'v2'" in problem["detail"]
    assert len(platform.frames()) == 2


def test_a_keys_last_use_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.access.TELL_USES_S", 0.0)
    platform = StandIn(tmp_path)
    key, unused = platform.key("north", "ingest"), platform.key("north", "ingest")

    async def send() -> None:
        async with client(FramesEndpoint(Door(platform))) as http:
            headers = bearer(key) | {"Content-Type": NDJSON}
            assert (await http.post("/v1/frames", content=ndjson(frame()), headers=headers)).status_code == 202
            for _ in range(10):
                await asyncio.sleep(0)

    asyncio.run(send())
    last = {record.id: record.last_used for record in platform.store.records("north")}
    used_at = last[key[3:15]]
    assert used_at is not None
    assert 0 <= time.time_ns() // 1000 - used_at < 60_000_000
    assert last[unused[3:15]] is None
