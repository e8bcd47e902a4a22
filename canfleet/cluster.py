"""A platform on a Ray cluster that others start and end, where actors outlive the process that started them.

So it lives on when `canfleet up` is killed, and the next `canfleet up` finds it. What ends it is SIGTERM: it drains.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import ray
from ray.util import list_named_actors

from actors import names
from actors.platform_client import PlatformClient
from pipeline.config import CanfleetConfig
from pipeline.errors import CanfleetError
from serve import deploy

_NODES_S: Final = 120.0
_END_S: Final = 30.0
_POLL_S: Final = 0.2

log = logging.getLogger(__name__)


@contextmanager
def on_cluster(config: CanfleetConfig) -> Iterator[None]:
    """Around a platform's life, from before its actors start until it has drained: then they are ended.

    A start that fails takes along what it started, and leaves a platform alone that was there before.

    A platform that is there is found with the configuration that it has.

    Raises:
        CanfleetError: actors do not end.
    """
    found = bool(_named())
    if found:
        its_config, drains = asyncio.run(_look())
        if drains:
            log.warning("the platform on this cluster was cut off while it drained: it is started anew")
            deploy.stop()
            _end_actors()
            found = False
        elif its_config != config:
            log.warning("the platform on this cluster has another configuration, and keeps it until `canfleet down`")
    if not found:
        _wait_for_nodes(config.ray.nodes)
    try:
        yield
    except BaseException:
        if not found:
            deploy.stop()
            _end_actors()
        raise
    _end_actors()


def _wait_for_nodes(wanted: int) -> None:
    """Wait until so many have joined, for two minutes at most: a host may be down for long."""
    deadline = time.monotonic() + _NODES_S
    while (alive := sum(node["Alive"] for node in ray.nodes())) < wanted:
        if time.monotonic() > deadline:
            log.warning("only %d of %d nodes have joined the cluster: starting without the others", alive, wanted)
            return
        time.sleep(_POLL_S)


async def _look() -> tuple[CanfleetConfig, bool]:
    """The configuration of the platform that is there, and whether a shard of it refuses frames for good."""
    client = await PlatformClient.connect()
    return client.config, any(shard.get("draining", False) for shard in (await client.status())["shards"])


def _end_actors() -> None:
    """End every actor of the platform; their state is on disk."""
    for name in _named():
        ray.kill(ray.get_actor(name, namespace=names.NAMESPACE), no_restart=True)
    deadline = time.monotonic() + _END_S
    while left := _named():
        if time.monotonic() > deadline:
            raise CanfleetError(f"actors of the platform do not end: {', '.join(left)}")
        time.sleep(_POLL_S)


def _named() -> list[str]:
    """The platform's actors, by name."""
    return [one["name"] for one in list_named_actors(all_namespaces=True) if one["namespace"] == names.NAMESPACE]
