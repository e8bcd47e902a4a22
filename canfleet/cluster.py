"""A platform on a Ray cluster that others start and end, where actors outlive the process that started them.

So it lives on when `canfleet up` is killed, and the next `canfleet up` finds it. What ends it is SIGTERM: it drains.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import ray
from ray.util import list_named_actors

from actors import names
from actors.partition_actors import end_named
from actors.platform_client import PlatformClient
from actors.running import Running, code_here, running, say_running
from pipeline.config import CanfleetConfig
from serve import deploy

_NODES_S: Final = 120.0
_POLL_S: Final = 0.2

log = logging.getLogger(__name__)


@contextmanager
def on_cluster(config: CanfleetConfig) -> Iterator[Callable[[], None] | None]:
    """Around a platform's life, from before its actors start until it has drained: then they are ended.

    A start that fails takes along what it started, and leaves a platform alone that was there before.

    Yields:
        Where a platform is there that runs other code or another configuration, and is to be renewed, what whoever has
        done so calls.

    Raises:
        CanfleetError: actors do not end.
    """
    found = bool(_named())
    if found and asyncio.run(_drains()):
        log.warning("the platform on this cluster was cut off while it drained: it is started anew")
        deploy.stop()
        end_named(*_named())
        found = False
    if not found:
        _wait_for_nodes(config.ray.nodes)
    wanted = Running(code=code_here(), config=config, everywhere=True)
    differs = found and running(config.data_dir) != wanted
    say_running(config.data_dir, wanted.model_copy(update={"everywhere": not differs}))
    try:
        yield partial(say_running, config.data_dir, wanted) if differs else None
    except BaseException:
        if not found:
            deploy.stop()
            end_named(*_named())
        raise
    end_named(*_named())


def _wait_for_nodes(wanted: int) -> None:
    """Wait until so many have joined, for two minutes at most: a host may be down for long."""
    deadline = time.monotonic() + _NODES_S
    while (alive := sum(node["Alive"] for node in ray.nodes())) < wanted:
        if time.monotonic() > deadline:
            log.warning("only %d of %d nodes have joined the cluster: starting without the others", alive, wanted)
            return
        time.sleep(_POLL_S)


async def _drains() -> bool:
    """Whether a shard of the platform that is there refuses frames for good."""
    client = await PlatformClient.connect()
    return any(shard.get("draining", False) for shard in (await client.status())["shards"])


def _named() -> list[str]:
    """The platform's actors, by name."""
    return [one["name"] for one in list_named_actors(all_namespaces=True) if one["namespace"] == names.NAMESPACE]
