"""Small requests that are taken together: each is answered as if it were alone."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serve_shard_platform import ShardPlatform
from serve_stand_in import StandIn, bearer, check_problem, client

from pipeline.config import CanfleetConfig
from pipeline.errors import Overloaded
from pipeline.lanes.lane import Lane
from pipeline.lanes.settings import LaneSettings
from serve.gateway import Door, FramesEndpoint

JSON, NDJSON = "application/json", "application/x-ndjson"
NOW = time.time_ns() // 1000


@pytest.fixture(autouse=True)
def _live(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are of now, however long the tests before have taken: those of ten minutes ago are backfill."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", time.time_ns() // 1000)


def frame(vehicle: str = "v1", sequence: int = 0, **changed: Any) -> dict[str, Any]:
    made = {"vehicle_id": vehicle, "timestamp": NOW + sequence, "arbitration_id": 256, "data": "00ff"}
    return made | {"session": 1, "sequence": sequence} | changed


def ndjson(*frames: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in frames)


def send(platform: StandIn, requests: list[tuple[bytes, dict[str, str]]], *, at_once: bool) -> list[httpx.Response]:
    async def all_of_them() -> list[httpx.Response]:
        async with client(FramesEndpoint(Door(platform))) as http:
            calls = [http.post("/v1/frames", content=body, headers=headers) for body, headers in requests]
            return list(await asyncio.gather(*calls)) if at_once else [await call for call in calls]

    return asyncio.run(all_of_them())


VEHICLES = st.sampled_from(["v1", "v2", "é", "truck-7", ""])
FRAMES = st.builds(
    frame, VEHICLES, st.integers(0, 5), arbitration_id=st.sampled_from([256, 0x1FFFFFFF, 1 << 30, -1, "x", None])
)
GOOD = st.builds(frame, st.sampled_from(["v1", "v2", "é", "truck-7"]), st.integers(0, 5))
LINES = st.one_of(
    st.lists(GOOD, max_size=4).map(lambda frames: ndjson(*frames)),
    st.lists(FRAMES, max_size=4).map(lambda frames: ndjson(*frames)),
    st.lists(GOOD, max_size=3).map(lambda frames: ndjson(*frames).rstrip()),
    st.sampled_from([b"", b"\n\n", b"not json", b"\xef\xbb\xbf" + ndjson(frame()), b"\xc3", b"\xa9" + ndjson(frame())]),
    st.binary(max_size=20),
)
LISTS = st.one_of(
    st.lists(GOOD, max_size=3).map(lambda frames: json.dumps(frames, indent=1).encode()),
    st.lists(FRAMES, max_size=3).map(lambda frames: json.dumps(frames).encode()),
    st.sampled_from([b"[]", b"[", b"[1]", b"[{}] x", b"{}", b'[{"a":"\n"}]']),
)
BODIES = st.one_of(LINES.map(lambda body: (body, NDJSON)), LISTS.map(lambda body: (body, JSON)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(BODIES, min_size=1, max_size=6), st.lists(st.booleans(), min_size=6, max_size=6))
def test_every_request_is_answered_as_if_it_were_alone(tmp_path_factory, bodies, bound):
    def answers(at_once: bool) -> tuple[list[Any], list[dict[str, Any]], list[Any]]:
        platform = StandIn(tmp_path_factory.mktemp("p"))
        keys = [platform.key("north", "ingest"), platform.key("north", "ingest", vehicles=["v*"])]
        requests = [
            (body, bearer(keys[which]) | {"Content-Type": kind})
            for (body, kind), which in zip(bodies, bound, strict=False)
        ]
        said = []
        for answer in send(platform, requests, at_once=at_once):
            document = answer.json()
            document.pop("instance", None)
            said.append((answer.status_code, document))
        rows = sorted(platform.frames(), key=str)
        letters = [
            row
            for _, submission in platform.submissions
            if submission.dead_letters is not None
            for row in submission.dead_letters.to_pylist()
        ]
        return said, rows, sorted(letters, key=str)

    assert answers(at_once=True) == answers(at_once=False)


def test_many_small_requests_are_few_submissions(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    headers = bearer(platform.key("north", "ingest")) | {"Content-Type": NDJSON}
    requests = [(ndjson(frame(f"v{i % 50}", i), frame(f"v{i % 50}", i + 1000)), headers) for i in range(200)]
    answers = send(platform, requests, at_once=True)
    assert [answer.json() for answer in answers] == [
        {"received": 2, "accepted": 2, "duplicates": 0, "dead_lettered": 0}
    ] * 200
    assert len(platform.frames()) == 400
    assert len(platform.submissions) < 60


def test_fleets_do_not_mix(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    keys = {fleet: platform.key(fleet, "ingest") for fleet in ("north", "south")}
    send(
        platform,
        [
            (ndjson(frame(fleet, i)), bearer(keys[fleet]) | {"Content-Type": NDJSON})
            for i in range(20)
            for fleet in keys
        ],
        at_once=True,
    )
    for _, submission in platform.submissions:
        assert {row["vehicle_id"] for row in submission.frames.to_pylist()} == {submission.fleet}


def test_a_shard_that_refuses_fails_its_own_requests_alone(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    headers = bearer(platform.key("north", "ingest")) | {"Content-Type": NDJSON}
    requests = [(ndjson(frame(f"v{i}", i)), headers) for i in range(40)]
    send(platform, requests, at_once=True)
    of_shard = [
        {
            row["vehicle_id"]
            for shard, submission in platform.submissions
            if shard == n
            for row in submission.frames.to_pylist()
        }
        for n in (0, 1)
    ]
    assert all(of_shard)
    platform.fail_submit[1] = Overloaded("full", 3.0)
    answers = send(platform, requests, at_once=True)
    for i, answer in enumerate(answers):
        if f"v{i}" in of_shard[0]:
            assert answer.status_code == 202
        else:
            check_problem(answer, 503, "overloaded")
            assert answer.headers["retry-after"] == "3"


def test_each_lane_is_a_submission_of_its_own(tmp_path: Path) -> None:
    lanes = LaneSettings(critical_ids=(128,))
    platform = StandIn(tmp_path, CanfleetConfig(lanes=lanes))
    headers = bearer(platform.key("north", "ingest")) | {"Content-Type": NDJSON}
    old = NOW - 86_400_000_000
    bodies = [
        ndjson(frame("critical", 1, arbitration_id=128)),
        ndjson(frame("mixed", 2, arbitration_id=128), frame("mixed", 3)),
        ndjson(frame("old", 4, timestamp=old)),
        ndjson(frame("newest", 5, timestamp=old), frame("newest", 6)),
    ]
    send(platform, [(body, headers) for body in bodies], at_once=True)
    found: dict[str, set[Lane]] = {}
    for lane, (_, submission) in zip(platform.lanes, platform.submissions, strict=True):
        for row in submission.frames.to_pylist():
            found.setdefault(row["vehicle_id"], set()).add(lane)
    assert found == {
        "critical": {Lane.CRITICAL},
        "mixed": {Lane.LIVE},
        "old": {Lane.BACKFILL},
        "newest": {Lane.LIVE},
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_each_learns_which_of_its_frames_were_duplicates(shard_platform: ShardPlatform, seed: int) -> None:
    """On a real shard: the same frame in several requests is accepted in exactly one of them."""
    headers = bearer(shard_platform.key(f"coalesce-{seed}", "ingest")) | {"Content-Type": NDJSON}
    bodies = [[frame("v1", i), frame("v1", i + 1), frame("v2", 7)] for i in range(seed, seed + 10)]
    answers = [one.json() for one in send(shard_platform, [(ndjson(*body), headers) for body in bodies], at_once=True)]
    assert all(one["received"] == 3 == one["accepted"] + one["duplicates"] for one in answers)
    distinct = {(one["vehicle_id"], one["sequence"]) for body in bodies for one in body}
    assert sum(one["accepted"] for one in answers) == len(distinct)
    again = [one.json() for one in send(shard_platform, [(ndjson(*body), headers) for body in bodies], at_once=True)]
    assert [(one["accepted"], one["duplicates"]) for one in again] == [(0, 3)] * 10


def test_a_body_of_a_vehicle_that_the_key_is_not_bound_to_takes_no_other_along(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    free = bearer(platform.key("north", "ingest")) | {"Content-Type": NDJSON}
    bound = bearer(platform.key("north", "ingest", vehicles=["v1"])) | {"Content-Type": NDJSON}
    answers = send(
        platform,
        [
            (ndjson(frame("v2", 1)), free),
            (ndjson(frame("v1", 2), frame("v2", 3)), bound),
            (ndjson(frame("v1", 4)), bound),
        ],
        at_once=True,
    )
    assert [answer.status_code for answer in answers] == [202, 403, 202]
    check_problem(answers[1], 403, "other-vehicle")
    assert sorted(row["sequence"] for row in platform.frames()) == [1, 4]
