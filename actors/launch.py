"""Starts the actors of a platform on the Ray cluster this process is connected to."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import ray

from actors import names
from actors.clickhouse_host import actor as clickhouse
from actors.directory import DirectoryActor
from actors.partition import PartitionActor
from actors.platform_client import PlatformClient
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.config import CanfleetConfig

# A call that was on its way when an actor died fails, and the client of the platform sends it again: Ray must not
# hold requests for the seconds that a restart takes.
_SERVICE: Final[dict[str, Any]] = {
    "num_cpus": 0,
    "max_restarts": -1,
    "max_task_retries": 0,
    "lifetime": "detached",
    "get_if_exists": True,
    "namespace": names.NAMESPACE,
}

_CALLS: Final = 10_000
"""Calls a partition actor has under way at most: so many that its queue, bounded in bytes, decides whom it refuses."""


def start_platform(config: CanfleetConfig, bootstrap_key: str | None) -> PlatformClient:
    """Start ClickHouse (unless `clickhouse.url` names one), migrate it, and start directory and partition actors.

    Actors that run already are found, not started again. Returns when every shard has recovered.

    Raises:
        ConfigError: the data directory or the configuration cannot be used.
        WarehouseError: ClickHouse cannot be reached or refuses the schema.
    """
    if config.clickhouse.url is None:
        config = _with_embedded_clickhouse(config)
    warehouse = Warehouse.connect(config.clickhouse)
    migrate(warehouse)
    warehouse.close()
    directory = ray.remote(DirectoryActor).options(name=names.DIRECTORY, **_SERVICE).remote(config, bootstrap_key)
    _, layout = ray.get(directory.describe.remote())
    shards = [
        ray.remote(PartitionActor)
        .options(name=names.partition_actor(number), max_concurrency=_CALLS, **_SERVICE)
        .remote(number, config)
        for number in range(layout.shards)
    ]
    ray.get([shard.status.remote() for shard in shards])
    return asyncio.run(PlatformClient.connect())


def stop_clickhouse() -> None:
    """Close the embedded ClickHouse, if there is one, so that it need not recover at the next start."""
    try:
        host = ray.get_actor(clickhouse.NAME, namespace=names.NAMESPACE)
    except ValueError:
        return
    ray.get(host.stop.remote())
    ray.kill(host, no_restart=True)


def _with_embedded_clickhouse(config: CanfleetConfig) -> CanfleetConfig:
    host = clickhouse.start(config.data_dir / "clickhouse", config.clickhouse_port, config.clickhouse.password)
    settings = config.clickhouse.model_copy(update={"url": ray.get(host.url.remote()), "storage_policy": "hot_cold"})
    return config.model_copy(update={"clickhouse": settings})
