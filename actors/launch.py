"""Starts the actors of a platform on the Ray cluster this process is connected to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import ray
from ray.exceptions import RayActorError, RayTaskError

from actors import names
from actors.clickhouse_host import actor as clickhouse
from actors.directory import DirectoryActor
from actors.layout import fixed_layout
from actors.partition_actors import SERVICE, end_named, find_partition_actor, start_partition_actor
from actors.placement import Placement, place_at_start
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.config import CanfleetConfig
from pipeline.errors import CanfleetError

DIRECTORY_CPUS: Final = 0.01
"""So little that it finds room anywhere. With none, Ray places it by chance, also where no processor is offered."""
_POLL_S: Final = 0.2


class Actors:
    """The actors of a platform, which start side by side.

    Named from the constructor on, so that Serve's replicas, which look for them, can start at the same time.
    """

    def __init__(self, config: CanfleetConfig, bootstrap_key: str | None) -> None:
        """Begin to start ClickHouse (unless `clickhouse.url` names one), the directory and every partition actor.

        Actors that run already are found, not started again.

        Raises:
            ConfigError: the data directory belongs to another layout, or its placement is damaged.
        """
        layout = fixed_layout(config)
        self._placement = _placement(config, layout.shards)
        self._clickhouse = None if config.clickhouse.url else _start_clickhouse(config)
        self.config: Final = config if config.clickhouse.url else _with_embedded_clickhouse(config)
        self._bootstrap_key = bootstrap_key
        self._directory = self._start_directory()
        self._partitions = [start_partition_actor(number, self.config) for number in range(self._placement.actors)]

    def _start_directory(self) -> Any:  # noqa: ANN401 an actor's handle
        """Begin to start the directory, or find it."""
        options = ray.remote(DirectoryActor).options(name=names.DIRECTORY, num_cpus=DIRECTORY_CPUS, **SERVICE)
        return options.remote(self.config, self._bootstrap_key)

    def renew(self) -> None:
        """Have this release and configuration take the place of those that run, actor by actor, while frames flow.

        The directory first, then every partition actor: its shards are with the others while another begins in its
        place, and where it is alone they are away for the seconds that takes. ClickHouse stays as it is.

        Raises:
            CanfleetError: an actor did not come back; what is renewed and what is not work together.
        """
        end_named(names.DIRECTORY)
        self._directory = self._start_directory()
        _wait_for([self._directory.request_renewal.remote()])
        while True:
            [renewal] = _wait_for([self._directory.renewal.remote()])
            if renewal is None:
                raise CanfleetError("the directory was restarted while partition actors were renewed: start again")
            if renewal.fault:
                raise CanfleetError(f"partition actors {renewal.left} keep the release before: {renewal.fault}")
            if not renewal.left:
                break
            time.sleep(_POLL_S)
        [self._placement] = _wait_for([self._directory.placement.remote(-1)])
        self._partitions = [find_partition_actor(number) for number in range(self._placement.actors)]

    def prepare_clickhouse(self) -> None:
        """Wait until ClickHouse answers, and bring its schema up to date. Shards store nothing before.

        Raises:
            ConfigError: the embedded one cannot use its folder or port.
            WarehouseError: ClickHouse cannot be reached or refuses the schema.
        """
        if self._clickhouse is not None:
            _wait_for([self._clickhouse.ping.remote()])
        warehouse = Warehouse.connect(self.config.clickhouse)
        migrate(warehouse)
        warehouse.close()

    def wait(self) -> list[str]:
        """Wait until the directory is there and every shard has tried to recover; why some could not.

        Such a shard goes on trying, and the others work.

        Raises:
            CanfleetError: the directory cannot start.
        """
        _wait_for([self._directory.describe.remote()])
        faults = []
        for shard, actor in enumerate(self._placement.actor_of):
            try:
                _wait_for([self._partitions[actor].status.remote(shard)])
            except CanfleetError as error:
                faults.append(str(error))
        return faults


def _placement(config: CanfleetConfig, shards: int) -> Placement:
    """That of the platform that runs on this cluster; without one, that with which it starts."""
    try:
        running = ray.get_actor(names.DIRECTORY, namespace=names.NAMESPACE)
    except ValueError:
        return place_at_start(config.data_dir, shards, *config.scaling.bounds(shards))
    found: Placement = ray.get(running.placement.remote(-1))
    return found


def stop_clickhouse() -> None:
    """Close the embedded ClickHouse, if there is one, so that it need not recover at the next start."""
    try:
        host = ray.get_actor(clickhouse.NAME, namespace=names.NAMESPACE)
    except ValueError:
        return
    ray.get(host.stop.remote())
    ray.kill(host, no_restart=True)


def _wait_for(calls: Sequence[Any]) -> list[Any]:
    """Actors' answers; what they raised comes as a CanfleetError."""
    try:
        return ray.get(list(calls))
    except RayTaskError as error:
        raise error.cause from error
    except RayActorError as error:
        # Ray keeps the text alone of what a constructor raised, at the end of a traceback.
        raise CanfleetError(f"an actor did not start: {str(error).strip().splitlines()[-1]}") from error


def _start_clickhouse(config: CanfleetConfig) -> Any:  # noqa: ANN401 an actor's handle
    settings = config.clickhouse
    return clickhouse.start(config.data_dir / "clickhouse", config.clickhouse_port, settings.password, settings.cold)


def _with_embedded_clickhouse(config: CanfleetConfig) -> CanfleetConfig:
    settings = config.clickhouse.model_copy(update={"url": config.clickhouse_url, "storage_policy": "hot_cold"})
    return config.model_copy(update={"clickhouse": settings})
