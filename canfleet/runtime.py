"""Starts and stops a whole platform: Ray, unless a running cluster is given, ClickHouse, the actors, Serve."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.layout import fixed_layout
from canfleet.beside import beside_gives_way
from canfleet.environment import ray_environment
from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.errors import CanfleetError, WarehouseAway

if TYPE_CHECKING:
    from actors.launch import Actors

DRAIN_TIMEOUT_S: Final = 30.0
_AWAY_S: Final = 5.0
_OBJECT_STORE_BYTES: Final = 256 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform.

    Attributes:
        url: base URL of its HTTP API.
        faults: why some shards take no frames; empty when all do.
        roll: replaces the processes of the HTTP API while requests flow.
    """

    url: str
    faults: list[str]
    roll: Callable[[], None]


@contextmanager
def running_platform(
    config: CanfleetConfig, bootstrap_key: str | None, ray_started: Callable[[], None] = lambda: None
) -> Iterator[Platform]:
    """A platform that accepts data, as a context. Leaving it drains.

    Databases and layout are checked first, so that a mistake stops the start before anything runs. `ray_started` is
    called when Ray has put its own signal handlers in place.

    Raises:
        ConfigError: a database, the configuration or the data directory cannot be used.
        CanfleetError: something did not start.
    """
    load_catalogue(config.profiles())
    fixed_layout(config)
    with tempfile.TemporaryDirectory(prefix="canfleet-") as folder:
        os.environ.update(ray_environment(Path(folder), config, os.environ))
        # Imported here: Ray and Serve read their environment variables when they are imported.
        import ray

        # Ray's start is waiting for processes: the other imports, two seconds of them, fit into it.
        importing = threading.Thread(target=_import_the_rest)
        importing.start()
        with beside_gives_way():
            _start_ray(config)
        ray_started()
        importing.join()
        try:
            with _room(config) as on_renewed, _started(config, bootstrap_key, on_renewed) as platform:
                yield platform
        finally:
            ray.shutdown()


def _room(config: CanfleetConfig) -> AbstractContextManager[Callable[[], None] | None]:
    """Around the actors' life: a Ray of the platform's own takes them along when it ends, a cluster does not.

    Yields what to call once they are renewed, where they run already and are to be.
    """
    if config.ray.address is None:
        return nullcontext()
    from canfleet.cluster import on_cluster

    return on_cluster(config)


@contextmanager
def _started(
    config: CanfleetConfig, bootstrap_key: str | None, on_renewed: Callable[[], None] | None
) -> Iterator[Platform]:
    """Actors and Serve on the Ray that this process is connected to; they start side by side.

    In a renewal they follow each other: a release answers what the one before asks, but not the other way round. So
    the schema is first, the actors, who use it, next, and the replicas, who call the actors, are last.
    """
    from actors.launch import Actors, stop_clickhouse
    from actors.platform_client import PlatformClient
    from serve import deploy

    has_data = (config.data_dir / "shards").exists()
    actors = Actors(config, bootstrap_key)
    with ThreadPoolExecutor(1, "clickhouse") as beside:
        schema = beside.submit(actors.prepare_clickhouse)
        if on_renewed is not None:
            wait([schema])
            log.warning("renewing the platform on this cluster")
            actors.renew()
        url = deploy.start(config, PlatformClient.connect)
        try:
            schema.result()
        except WarehouseAway as error:
            # A wrong address shows at the first start. Later, frames are taken in as they are while ClickHouse is away.
            if not has_data:
                raise
            log.warning("%s; acknowledged frames wait in the journal", error)
            threading.Thread(target=_prepare_when_back, args=(actors,), daemon=True).start()
    faults = actors.wait()
    if on_renewed is not None:
        on_renewed()
    try:
        yield Platform(url, faults, lambda: deploy.roll(config, PlatformClient.connect))
    finally:
        # The shards refuse first, and say so with 503 and Retry-After as long as there is somebody to say it.
        if not asyncio.run(_drain()):
            log.warning("not everything reached ClickHouse; it waits in the journal for the next start")
        deploy.stop()
        stop_clickhouse()


def _prepare_when_back(actors: Actors) -> None:
    while True:
        time.sleep(_AWAY_S)
        try:
            actors.prepare_clickhouse()
        except WarehouseAway:
            continue  # said once already; shards say it again and again
        return


async def _drain() -> bool:
    from actors.platform_client import PlatformClient

    client = await PlatformClient.connect()
    return await client.drain(DRAIN_TIMEOUT_S)


def _import_the_rest() -> None:
    import actors.launch  # noqa: F401
    import serve.deploy  # noqa: F401


def _start_ray(config: CanfleetConfig) -> None:
    import ray

    if config.ray.address is not None:
        try:
            ray.init(address=config.ray.address, namespace="canfleet", logging_level="warning")
        except ConnectionError as error:
            raise CanfleetError(f"no Ray cluster is found at ray.address, {config.ray.address}: {error}") from error
        return
    ray.init(
        address="local",
        namespace="canfleet",
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        dashboard_port=config.ray.dashboard_port,
        object_store_memory=_OBJECT_STORE_BYTES,
        logging_level="warning",
        log_to_driver=True,
        _node_ip_address="127.0.0.1",
    )
