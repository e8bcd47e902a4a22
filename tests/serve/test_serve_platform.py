"""The whole HTTP face as it runs: Ray, Serve's HAProxy, three deployments, real sockets, a stand-in behind them."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from http_face import http_face
from serve_stand_in import BOOTSTRAP, bearer, check_problem

pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, Any]]:
    with http_face() as face:
        yield face


@pytest.fixture
def http(running: dict[str, Any]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running["url"], timeout=30) as made:
        yield made


def frames(n: int) -> list[dict[str, Any]]:
    base = {"timestamp": "2026-01-31T12:00:00Z", "arbitration_id": 256, "data": "00ff" * 32, "session": 1}
    return [base | {"vehicle_id": f"v{i % 7}", "sequence": i} for i in range(n)]


def test_every_route_reaches_its_deployment(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "alive"}
    assert http.get("/readyz").json()["ready"] is True
    assert http.get("/").headers["content-type"].startswith("text/html")
    answer = http.post("/v1/frames", json=frames(1), headers=bearer(BOOTSTRAP))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    log = b"(1700000000.000000) can0 1A3#00\n"
    answer = http.post("/v1/logs?vehicle_id=v&filename=a.log", content=log, headers=bearer(BOOTSTRAP))
    assert (answer.status_code, answer.json().get("accepted")) == (202, 1)
    check_problem(http.get("/v1/frames"), 405, "method-not-allowed")
    check_problem(http.get("/v1/framesx"), 404, "not-found")


def test_large_bodies_pass_and_too_large_ones_are_refused(http: httpx.Client) -> None:
    body = json.dumps(frames(60_000)).encode()
    assert len(body) > 12_000_000
    headers = bearer(BOOTSTRAP) | {"Content-Type": "application/json"}
    assert http.post("/v1/frames", content=body, headers=headers).json()["accepted"] == 60_000
    check_problem(http.post("/v1/frames", content=b" " * (17 << 20), headers=headers), 413, "body-too-large")
    check_problem(
        http.post("/v1/frames", content=iter([b" " * (1 << 20)] * 17), headers=headers), 413, "body-too-large"
    )
    check_problem(http.post("/v1/frames", content=b"x" * (8 << 20)), 401, "unauthenticated")


def test_a_request_id_is_answered_once_and_odd_ones_are_replaced(http: httpx.Client) -> None:
    for path in ("/healthz", "/v1/frames"):
        assert http.get(path, headers={"X-Request-Id": "drive-1"}).headers.get_list("x-request-id") == ["drive-1"]
        [found] = http.get(path, headers={"X-Request-Id": "odd id"}).headers.get_list("x-request-id")
        assert found != "odd id"


def test_the_live_feed_streams(http: httpx.Client) -> None:
    with http.stream("GET", "/v1/live", headers=bearer(BOOTSTRAP)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        seen = 0
        for line in answer.iter_lines():
            seen += line == "event: summary"
            if seen == 2:
                break
    assert seen == 2


def test_haproxy_listens_on_loopback_alone(running: dict[str, Any]) -> None:
    listening = {
        (int(address.split(":")[1], 16), address.split(":")[0])
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for address, state in (line.split()[1:4:2] for line in Path(table).read_text().splitlines()[1:])
        if state == "0A"
    }
    loopback = "0100007F"
    for port in (running["METRICS"], running["STATS"], httpx.URL(running["url"]).port):
        assert {address for found, address in listening if found == port} == {loopback}


def test_haproxy_and_gateway_have_room_for_descriptors_before_connections_come(running: dict[str, Any]) -> None:
    sizes = {}
    for process in psutil.Process(running["pid"]).children(recursive=True):
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):  # it ends
            command = " ".join(process.cmdline())
            for name in ("/haproxy -db", "ray::ServeReplica:frames"):
                if name in command:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    sizes[name] = int(re.search(r"FDSize:\s+(\d+)", status)[1])  # type: ignore[index]
    assert len(sizes) == 2
    assert min(sizes.values()) >= min(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def test_guesses_are_counted_by_the_address_that_haproxy_saw(running, http):
    with httpx.Client(
        base_url=running["url"], timeout=30, transport=httpx.HTTPTransport(local_address="127.0.0.9")
    ) as guesser:
        # Each pretends to be somebody else. 5 in a second are let through, and 60 in a minute where each takes long.
        for i in range(100):
            headers = {**bearer(f"guess {i}"), "X-Canfleet-Address": f"192.0.2.{i}"}
            answer = guesser.post("/v1/frames", headers=headers)
            if answer.status_code != 401:
                break
    assert i > 0
    problem = check_problem(answer, 429, "rate-limited")
    assert "without a valid key" in problem["detail"]
    assert http.post("/v1/frames", headers=bearer("a guess from elsewhere")).status_code == 401
