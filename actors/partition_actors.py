"""The partition actors as whoever places shards on them calls them: by number, one call at a time, waiting."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors import names
from pipeline.config import CanfleetConfig
from pipeline.errors import PartitionAway

# A call that was on its way when an actor died fails, and the client of the platform sends it again: Ray must not
# hold requests for the seconds that a restart takes. Every request calls an actor, which is a task to Ray, and the GCS
# would remember a million of them: it would grow by 2 MiB a minute for hours.
SERVICE: Final[dict[str, Any]] = {
    "max_restarts": -1,
    "max_task_retries": 0,
    "enable_task_events": False,
    "lifetime": "detached",
    "get_if_exists": True,
    "scheduling_strategy": "SPREAD",
    "namespace": names.NAMESPACE,
}

_CALLS: Final = 10_000
"""Calls a partition actor has under way at most: so many that its queue, bounded in bytes, decides whom it refuses."""
_LOOK_S: Final = 2.0
_MOVE_S: Final = 60.0
_END_S: Final = 30.0
_START_S: Final = 120.0
_POLL_S: Final = 0.05


def start_partition_actor(number: int, config: CanfleetConfig) -> Any:  # noqa: ANN401 an actor's handle
    """Begin to start actor `number`, or find it. Does not wait."""
    # Here: whoever starts one seldom, like the directory, need not load the numeric core to be back after a crash.
    from actors.partition import PartitionActor

    options = SERVICE | {"name": names.partition_actor(number), "num_cpus": config.scaling.cpus_per_actor}
    return ray.remote(PartitionActor).options(max_concurrency=_CALLS, **options).remote(number, config)


def find_partition_actor(number: int) -> Any:  # noqa: ANN401 an actor's handle
    """Actor `number` of this Ray cluster. Raises ValueError where there is none."""
    return ray.get_actor(names.partition_actor(number), namespace=names.NAMESPACE)


def end_named(*wanted: str) -> None:
    """End actors of the platform for good, and wait until their names are free.

    Raises:
        PartitionAway: they do not end.
    """
    until = time.monotonic() + _END_S
    while left := _named(wanted):
        if time.monotonic() > until:
            raise PartitionAway(f"actors of the platform do not end: {', '.join(left)}", 1.0)
        for handle in left.values():
            ray.kill(handle, no_restart=True)
        time.sleep(_POLL_S)


def _named(wanted: Iterable[str]) -> dict[str, Any]:
    """Handles of those that are there."""
    found = {}
    for name in wanted:
        with suppress(ValueError):
            found[name] = ray.get_actor(name, namespace=names.NAMESPACE)
    return found


class PartitionActors:
    """Calls by number of actor. One thread."""

    def __init__(self, config: CanfleetConfig) -> None:
        """Call the actors of the platform on the Ray cluster of this process."""
        self._config = config
        self._handles: dict[int, Any] = {}

    def start(self, actor: int) -> None:
        """Begin to start an actor that may not be there yet."""
        self._handles[actor] = start_partition_actor(actor, self._config)

    def stop(self, actor: int) -> None:
        """End an actor for good, if there is one."""
        self._handles.pop(actor, None)
        try:
            handle = find_partition_actor(actor)
        except ValueError:
            return
        ray.kill(handle, no_restart=True)

    def restart(self, actor: int) -> None:
        """End an actor and begin another in its place, with the code and the configuration that are here.

        Raises:
            PartitionAway: the one does not end, or the other does not answer within two minutes.
        """
        self._handles.pop(actor, None)
        end_named(names.partition_actor(actor))
        self.start(actor)
        self._ask(actor, "ping", timeout_s=_START_S)

    def load(self, actor: int) -> tuple[dict[int, float], float]:
        """Frames per second by shard that it holds, and processor seconds used so far.

        Raises:
            PartitionAway: it does not answer.
        """
        rates, used = self._ask(actor, "load", timeout_s=_LOOK_S)
        return rates, used

    def hold(self, shard: int, actor: int) -> None:
        """Have an actor take a shard over. Raises PartitionAway."""
        self._ask(actor, "hold", shard, timeout_s=_MOVE_S)

    def release(self, shard: int, actor: int) -> None:
        """Have an actor give a shard up. Raises PartitionAway, or PartitionMoved where it does not hold it."""
        self._ask(actor, "release", shard, timeout_s=_MOVE_S)

    def in_touch(self) -> bool:
        """Whether this node belongs to the cluster, as Ray's GCS says at once.

        Where it does not, others that do not answer are not away: this one is cut off.
        """
        began = time.monotonic()
        try:
            here = ray.get_runtime_context().get_node_id()
            belongs = any(node["NodeID"] == here and node["Alive"] for node in ray.nodes())
        except (RayError, RuntimeError):
            return False
        return belongs and time.monotonic() - began < _LOOK_S

    def _ask(self, actor: int, method: str, *arguments: Any, timeout_s: float) -> Any:  # noqa: ANN401
        try:
            if actor not in self._handles:
                self._handles[actor] = find_partition_actor(actor)
            return ray.get(getattr(self._handles[actor], method).remote(*arguments), timeout=timeout_s)
        except RayTaskError as error:
            raise error.cause from error
        except (RayError, ValueError) as error:
            if isinstance(error, RayActorError):
                # It may have been ended and begun again by another run: look for it by its name next time.
                self._handles.pop(actor, None)
            raise PartitionAway(f"partition actor {actor} is away: {type(error).__name__}", 1.0) from error
