"""The embedded ClickHouse as a detached Ray actor that restarts by itself."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Final

import ray
from ray.actor import ActorHandle

from pipeline.clickhouse.settings import ColdSettings
from pipeline.descriptors import reserve_descriptors
from pipeline.errors import ConfigError

NAME: Final = "clickhouse"
"""Of the actor, in the platform's namespace."""

_AGAIN_S: Final = 2.0

log = logging.getLogger(__name__)


class ClickHouseActor:
    """A Ray shell around `ClickHouseHost`; Ray starts actors in processes of their own, which are not forked."""

    def __init__(self, data_dir: str, port: int, password: str = "", cold: ColdSettings | None = None) -> None:
        """See `ClickHouseHost`."""
        # Acknowledgements come first where they share the cores with ClickHouse, which can wait: only threads of this
        # policy are preempted at once by a thread that wakes up, a large niceness still lets them end their slice.
        # Before the engine is loaded: threads that it starts then run its merges.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        # Here: whoever starts or finds this actor need not load the engine, 200 MB of it.
        from actors.clickhouse_host.host import ClickHouseHost

        reserve_descriptors()
        try:
            self._host = ClickHouseHost(Path(data_dir), port, password=password, cold=cold)
        except ConfigError as error:
            if not ray.get_runtime_context().was_current_actor_reconstructed:
                raise
            # Ray gives an actor up whose constructor raises, but starts one again whose process ends.
            log.critical("ClickHouse does not come back yet: %s", error)
            time.sleep(_AGAIN_S)
            os._exit(70)

    def url(self) -> str:
        """Where it listens."""
        return self._host.url

    def ping(self) -> str:
        """ClickHouse's version."""
        return self._host.version

    def stop(self) -> None:
        """Close the data; the caller kills the actor afterwards, with `no_restart=True`."""
        self._host.stop()


def start(
    data_dir: Path, port: int, password: str = "", cold: ColdSettings | None = None
) -> ActorHandle[ClickHouseActor]:
    """The named actor's handle; it is started where it does not run yet.

    The port must not be 0, or a restart would listen on another one.
    """
    remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=4)(ClickHouseActor)
    options = remote.options(name=NAME, lifetime="detached", get_if_exists=True)
    return options.remote(str(data_dir), port, password, cold)
