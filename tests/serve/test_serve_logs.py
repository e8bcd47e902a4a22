"""`POST /v1/logs`: real log files through the real reader process."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from serve_stand_in import BOOTSTRAP, StandIn, bearer, check_problem, client

from pipeline.errors import Overloaded
from serve import logs
from serve.logs import LogsEndpoint

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "logs"
CANDUMP = b"".join(f"({1_700_000_000 + i / 10:.6f}) can0 1A3#00{i:02X}\n".encode() for i in range(50))


@pytest.fixture
def platform(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def post(platform: StandIn, query: str, body: Any, key: str = BOOTSTRAP):
    async def send():
        async with client(LogsEndpoint(platform)) as http:
            return await http.post(f"/v1/logs?{query}", content=body, headers=bearer(key))

    return asyncio.run(send())


@pytest.mark.parametrize(("name", "body"), [("a.log", CANDUMP), ("../b.LOG.gz", gzip.compress(CANDUMP))])
def test_a_log_is_read_and_its_frames_kept(platform: StandIn, name: str, body: bytes) -> None:
    answer = post(platform, f"vehicle_id=truck-7&filename={name}", body)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"received": 50, "accepted": 50, "duplicates": 0, "dead_lettered": 0, "skipped": 0}
    kept = platform.frames()
    assert {row["vehicle_id"] for row in kept} == {"truck-7"}
    assert [row["data"][1] for row in kept] == list(range(50))


def test_a_log_that_counts_from_zero_needs_its_start(platform: StandIn) -> None:
    relative = b"(0.500000) can0 1A3#00\n"
    answer = post(platform, "vehicle_id=v&filename=a.log", relative).json()
    assert (answer["accepted"], answer["dead_lettered"]) == (0, 1)
    answer = post(platform, "vehicle_id=v&filename=a.log&start=2026-01-31T12:00:00Z", relative).json()
    assert (answer["accepted"], answer["dead_lettered"]) == (1, 0)
    assert platform.frames()[0]["timestamp"].isoformat() == "2026-01-31T12:00:00.500000+00:00"


def test_what_cannot_be_read(platform: StandIn) -> None:
    check_problem(post(platform, "vehicle_id=v&filename=a.mf4", b"not an mf4 file"), 400, "unreadable-body")
    check_problem(post(platform, "vehicle_id=v&filename=a.pdf", b""), 415, "unknown-content-type")
    check_problem(post(platform, "vehicle_id=v", b""), 400, "bad-request")
    check_problem(post(platform, "filename=a.log", b""), 400, "bad-request")
    check_problem(post(platform, f"filename=a.log&vehicle_id={'v' * 65}", b""), 400, "bad-request")
    check_problem(post(platform, "filename=a.log&vehicle_id=v", b"", "wrong"), 401, "unauthenticated")
    key = platform.key("north", "query")
    check_problem(post(platform, "filename=a.log&vehicle_id=v", b"", key), 403, "forbidden")
    assert platform.submissions == []


def test_a_log_too_large_or_too_slow_is_refused(platform: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 1000)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    check_problem(post(platform, "vehicle_id=v&filename=a.log", b" " * 1001), 413, "body-too-large")
    check_problem(post(platform, "vehicle_id=v&filename=a.log", chunks()), 413, "body-too-large")
    monkeypatch.setattr(logs, "READ_LIMIT_S", 0.01)
    check_problem(post(platform, "vehicle_id=v&filename=a.log", CANDUMP[:500]), 400, "unreadable-body")


def test_a_log_waits_for_room(platform: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refusals = platform.admit, [Overloaded("full", 0.01)] * 3

    def admit(*arguments: Any) -> None:
        if refusals:
            raise refusals.pop()
        real(*arguments)

    monkeypatch.setattr(platform, "admit", admit)
    assert post(platform, "vehicle_id=v&filename=a.log", CANDUMP).json()["accepted"] == 50


def test_a_real_recording(platform: StandIn) -> None:
    recording = SHARED / "truck-j1939.mf4"
    if not recording.exists():
        pytest.skip(f"no recording at {recording}")
    answer = post(platform, "vehicle_id=truck&filename=truck-j1939.mf4", recording.read_bytes())
    assert answer.json()["accepted"] == len(platform.frames()) == 1815
