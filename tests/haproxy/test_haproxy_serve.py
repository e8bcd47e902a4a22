"""The configuration that Serve renders, mended by serve/haproxy_mending.py, in the real HAProxy before two replicas."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from haproxy_process import Node, free_ports, wait_until

from serve import haproxy_mending

HERE = Path(__file__).parent
PROXY = "127.0.0.77"


@pytest.fixture(scope="module")
def served(two_nodes: dict[str, Node]) -> Iterator[tuple[str, psutil.Process]]:
    """URL and process of a HAProxy that believes `PROXY`, with a bound of two seconds instead of ten or twenty."""
    folder = Path(tempfile.mkdtemp(prefix="cf-"))
    [port] = free_ports(1)
    replicas = [str(node.port) for node in two_nodes.values()]
    wrapper, config = subprocess.run(
        [sys.executable, str(HERE / "haproxy_serve_render.py"), str(folder), str(port), PROXY, *replicas],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[-2:]
    mending = folder / "mend.sed"
    text = mending.read_text()
    for old in (f"http-request {haproxy_mending.HEAD_S}s", f"wait-for-body time {haproxy_mending.FIRST_BYTES_S}s"):
        assert old in text
        text = text.replace(old, re.sub(r"\d+s$", "2s", old))
    mending.write_text(text)
    process = psutil.Popen([wrapper, "-db", "-f", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert process.poll() is None, process.stdout.read().decode()
            try:
                return httpx.get(f"{url}/v1/vehicles").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers)
        yield url, process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        shutil.rmtree(folder)


@pytest.fixture
def http(served: tuple[str, psutil.Process]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served[0], timeout=30) as made:
        yield made


def exchange(url: str, sent: bytes, *trickle: bytes) -> bytes:
    """What comes until the other side closes."""
    parsed = httpx.URL(url)
    with socket.create_connection((parsed.host, parsed.port), timeout=30) as stream:
        stream.sendall(sent)
        for piece in trickle:
            time.sleep(0.1)
            try:
                stream.sendall(piece)
            except OSError:
                break
        received = b""
        while chunk := stream.recv(65536):
            received += chunk
        return received


def test_slow_heads_and_slow_bodies_are_cut(served):
    url, _ = served
    assert exchange(url, b"GET / HTTP/1.1\r\nX-Slow: ", *[b"x"] * 30).startswith(b"HTTP/1.1 408 ")
    answer = exchange(url, b"POST /v1/frames HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n", *[b"x"] * 30)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:canfleet:problem:request-timeout" in answer
    assert exchange(url, b"no such thing\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_heads_are_bounded(http):
    assert http.get("/v1/vehicles", headers={"X-Long": "x" * 8000}).status_code == 200
    refused = http.get("/v1/vehicles", headers={"X-Long": "x" * 16_000})
    assert refused.status_code == 400


def test_bodies_that_no_endpoint_bounds_are_bounded_before_them(http):
    large = b"x" * (haproxy_mending.MAX_QUERY_BODY + 1)
    refused = http.post("/v1/keys", content=large)
    assert (refused.status_code, refused.json()["type"]) == (413, "urn:canfleet:problem:body-too-large")
    refused = http.post("/v1/keys", content=iter([b"x"]))
    assert (refused.status_code, refused.json()["type"]) == (411, "urn:canfleet:problem:length-required")
    assert http.post("/v1/keys", content=large[:1000]).status_code == 202
    for path in ("/v1/frames", "/v1/frames/", "/v1/logs?filename=a.log"):
        assert http.post(path, content=iter([large])).json()["body"] == len(large)


def test_clients_do_not_tell_serve_what_to_do(http):
    told = {
        "X-Request-Disconnect-Disabled": "?0",
        "X-Request-Timeout-Seconds": "0.001",
        "serve_multiplexed_model_id": "m",
        "X-Canfleet-Address": "1.2.3.4",
    }
    answer = http.post("/v1/frames", content=b"x", headers=told)
    seen = answer.json()["headers"]
    assert seen["x-request-disconnect-disabled"] == "?1"
    assert not {"x-request-timeout-seconds", "serve_multiplexed_model_id"} & seen.keys()
    assert seen["x-canfleet-address"] == "127.0.0.1"
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        (PROXY, ["9.9.9.9, 192.0.2.7"], "192.0.2.7"),
        (PROXY, ["9.9.9.9", "2001:db8::7"], "2001:db8::7"),
        (PROXY, [], PROXY),
        (PROXY, ["nonsense"], PROXY),
        ("127.0.0.78", ["192.0.2.7"], "127.0.0.78"),
    ],
)
def test_only_a_trusted_proxy_says_where_a_request_comes_from(served, peer, forwarded, seen):
    with httpx.Client(transport=httpx.HTTPTransport(local_address=peer), timeout=30) as client:
        headers = [("X-Forwarded-For", one) for one in forwarded]
        # On one connection, where each request begins anew.
        for said, expected in ((headers, seen), ([], peer), (headers, seen)):
            answer = client.get(f"{served[0]}/v1/vehicles", headers=said)
            assert answer.json()["headers"]["x-canfleet-address"] == expected


def test_thousands_of_idle_connections_cost_little(served):
    url, process = served
    parsed = httpx.URL(url)
    before = process.memory_info().rss
    held = []
    try:
        for _ in range(4000):
            one = socket.create_connection((parsed.host, parsed.port), timeout=30)
            held.append(one)
            one.sendall(b"GET /v1/vehicles HTTP/1.1\r\nHost: h\r\n\r\n")
            assert one.recv(65536).startswith(b"HTTP/1.1 200 ")
        each = (process.memory_info().rss - before) / len(held)
        print(f"an idle connection takes {each:,.0f} bytes")
        assert each < 8000
        assert httpx.get(f"{url}/v1/vehicles", timeout=30).status_code == 200
    finally:
        for one in held:
            one.close()
