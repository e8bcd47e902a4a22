"""The environment in which Ray must start for a platform: the local Ray, and `ray start` on each node of a cluster.

Ray and Serve read it when they are imported, in every process, and hand it on to the processes they start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline.config import CanfleetConfig
from pipeline.light_start import light
from serve import haproxy

NODE_PORTS: Final = (9101, 8404, 8500)
"""On a cluster's nodes: HAProxy's metrics and statistics, Serve's fallback proxy. On one machine any free ones do."""
_INLINE_BYTES: Final = 4 << 20
"""Submissions up to this size travel inside the call; through the object store each costs a copy and a round trip."""


def ray_environment(
    folder: Path, config: CanfleetConfig, given: Mapping[str, str], ports: tuple[int, int, int] | None = None
) -> dict[str, str]:
    """What must be added to the environment `given`, whose own settings stay.

    Args:
        folder: for HAProxy's files; it must be there as long as Ray runs.
        config: of the platform.
        given: the environment in which Ray will start.
        ports: as `NODE_PORTS`; None takes free ones.

    Raises:
        ConfigError: the folder's path cannot be used: see `serve.haproxy.environment`.
    """
    wanted = haproxy.environment(folder, config.server, ports) | {
        "RAY_max_direct_call_object_size": str(_INLINE_BYTES),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Whoever reaches Ray's ports may run anything: they ask for Ray's token, on one machine and in a cluster.
        "RAY_AUTH_MODE": "token",
        "RAY_DEDUP_LOGS": "0",
        # Ray's default of 15 lets anything else on the machine go before the workers that acknowledge frames.
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    missing = {name: value for name, value in wanted.items() if name not in given}
    return missing | {"PYTHONPATH": light(given)["PYTHONPATH"]}
