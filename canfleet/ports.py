"""Are the platform's ports free: asked before the start, since Ray and HAProxy say it late and at length."""

from __future__ import annotations

import errno
import socket
import time
from typing import Final

from pipeline.config import CanfleetConfig
from pipeline.errors import ConfigError

_POLL_S: Final = 0.1
_LOOPBACK: Final = "127.0.0.1"


def wait_until_free(config: CanfleetConfig, timeout_s: float) -> None:
    """Return when every port can be listened on; the kernel may hold those of a killed process a moment longer.

    Raises:
        ConfigError: one still cannot be after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    for host, port, option in _wanted(config):
        while (refusal := _refusal(host, port)) is not None:
            if time.monotonic() > deadline:
                raise ConfigError(f"cannot listen on {host}:{port}: {refusal}; choose another with {option}")
            time.sleep(_POLL_S)


def _wanted(config: CanfleetConfig) -> list[tuple[str, int, str]]:
    ports = []
    if config.ray.address is None:
        # On a cluster, they may well be those of the platform that runs there and is found.
        ports.append((config.server.host, config.server.port, "--port"))
        ports.append((_LOOPBACK, config.ray.dashboard_port, "--dashboard-port"))
    if config.clickhouse.url is None:
        ports.append((_LOOPBACK, config.clickhouse_port, "--clickhouse-port"))
    return ports


def _refusal(host: str, port: int) -> str | None:
    """Why the port cannot be listened on; None when it can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        return error.strerror
    with socket.socket(family, kind) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(address)
            # Only listening tells of another socket that may share the address without listening yet.
            held.listen(1)
        except OSError as error:
            return "it is in use" if error.errno == errno.EADDRINUSE else error.strerror
    return None
