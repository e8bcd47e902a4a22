"""Serve's HAProxy as it runs, before two gateways: one is killed under load; and what a hostile client can hold."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest
from haproxy_process import wait_until
from http_face import http_face

pytestmark = pytest.mark.platform

KEY = {"X-API-Key": "bootstrap-key-of-the-tests"}
FRAMES = KEY | {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    log = tmp_path_factory.mktemp("log") / "access.jsonl"
    with http_face(gateways=2, access_log={"path": str(log)}) as face:
        yield face | {"log": log}


def replicas(running: dict[str, Any], name: str) -> list[psutil.Process]:
    found = []
    for one in psutil.Process(running["pid"]).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ends, or has ended and is not yet waited for
            if f"ray::ServeReplica:{name}" in " ".join(one.cmdline()):
                found.append(one)
    return found


def frame(client: int, n: int) -> bytes:
    row = {"vehicle_id": f"v{client}", "timestamp": time.time_ns() // 1000, "arbitration_id": 256, "data": "00ff"}
    return json.dumps(row | {"session": 1, "sequence": n}).encode()


def test_a_killed_gateway_costs_its_clients_a_retry_at_most(running):
    url, failures, answered = running["url"], [], [0] * 6
    stop = threading.Event()

    def send(client: int) -> None:
        with httpx.Client(base_url=url, timeout=20, headers=FRAMES) as http:
            n = 0
            while not stop.is_set():
                body, done = frame(client, n), False
                while not done:
                    try:
                        answer = http.post("/v1/frames", content=body)
                        done = answer.status_code == 202
                        seen = f"{answer.status_code} {answer.headers.get('retry-after')}"
                    except httpx.TransportError as error:
                        seen = type(error).__name__
                    if not done:
                        failures.append((time.monotonic(), seen))
                        time.sleep(0.05)
                answered[client] += 1
                n += 1

    threads = [threading.Thread(target=send, args=(client,)) for client in range(len(answered))]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(answered) > 20)
        victim, other = replicas(running, "frames")
        killed, before = time.monotonic(), sum(answered)
        victim.send_signal(signal.SIGKILL)
        wait_until(lambda: time.monotonic() > killed + 4)
        assert min(answered) > 20
        assert sum(answered) > before + 50
        # The one that was killed is replaced, and taken into use without a failure.
        wait_until(lambda: len({one.pid for one in replicas(running, "frames")} - {victim.pid, other.pid}) == 1, 90)
        time.sleep(3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    kinds = Counter(seen for _, seen in failures)
    last = max((when - killed for when, _ in failures), default=0.0)
    print(f"last failure after {last:.3f} s: {dict(kinds)}; {sum(answered)} requests answered with 202")
    assert set(kinds) <= {"503 1", "RemoteProtocolError", "ReadError", "WriteError"}
    assert last < 3
    # What was under way in the replica that died, one request a client.
    assert len(failures) <= len(threads)


def test_bodies_that_nobody_reads_are_not_taken_into_memory(running):
    """Revoking a key takes a second, in which nobody has a use for the 8 MB that come with each request."""
    [query] = replicas(running, "query")
    url = httpx.URL(running["url"])
    with httpx.Client(base_url=url, headers=KEY, timeout=30) as http:
        keys = [http.post("/v1/keys", json={"fleet": "north", "scopes": ["ingest"]}).json()["id"] for _ in range(40)]
    answers = []

    def revoke(key: str) -> None:
        name = KEY["X-API-Key"]
        head = f"DELETE /v1/keys/{key} HTTP/1.1\r\nHost: h\r\nX-API-Key: {name}\r\nContent-Length: 8000000\r\n\r\n"
        with socket.create_connection((url.host, url.port), timeout=30) as stream:
            stream.sendall(head.encode())
            stream.sendall(b"x" * 8_000_000)
            answers.append(stream.recv(65536)[:12])

    before = peak = query.memory_info().rss
    threads = [threading.Thread(target=revoke, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, query.memory_info().rss)
        time.sleep(0.02)
    print(f"320 MB of bodies that nobody reads took {(peak - before) / 1e6:.0f} MB of the replica's memory")
    assert answers == [b"HTTP/1.1 200"] * len(keys)
    assert peak - before < 100e6


def test_requests_leave_their_lines_in_the_access_log_of_all_replicas(running):
    wanted = {"/v1/frames": "drive-77", "/healthz": "check-77"}
    with httpx.Client(base_url=running["url"], timeout=20) as http:
        http.post("/v1/frames", content=frame(99, 1), headers=FRAMES | {"X-Request-Id": wanted["/v1/frames"]})
        http.get("/healthz", headers={"X-Request-Id": wanted["/healthz"]})

    def found() -> dict[str, dict[str, Any]]:
        every = [json.loads(line) for line in running["log"].read_text().splitlines()]
        return {one["path"]: one for one in every if one["request_id"] in wanted.values()}

    wait_until(lambda: running["log"].exists() and found().keys() == wanted.keys())
    assert {path: one["request_id"] for path, one in found().items()} == wanted
    assert (found()["/v1/frames"]["fleet"], found()["/v1/frames"]["client"]) == ("default", "127.0.0.0/24")
    assert "bootstrap" not in running["log"].read_text().replace(found()["/v1/frames"]["key"], "")
