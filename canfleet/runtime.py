"""Starts and stops a whole platform on one machine: Ray, ClickHouse, the actors, Serve."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.errors import CanfleetError

RUN_FILE: Final = "canfleet.run"
"""In the data directory while a platform runs on it: process id and addresses, as JSON."""

DRAIN_TIMEOUT_S: Final = 30.0
_OBJECT_STORE_BYTES: Final = 256 << 20
_INLINE_BYTES: Final = 4 << 20
"""Submissions up to this size travel inside the call; through the object store each costs a copy and a round trip."""

log = logging.getLogger(__name__)


@contextmanager
def running_platform(config: CanfleetConfig, bootstrap_key: str | None) -> Iterator[str]:
    """A platform that accepts data, as a context; yields its base URL. Leaving it drains.

    The databases are read first, so that a broken one stops the start before anything runs.

    Raises:
        ConfigError: a database, the configuration or the data directory cannot be used.
        CanfleetError: something did not start.
    """
    load_catalogue(config.profiles())
    config = config.model_copy(update={"data_dir": config.data_dir.resolve()})
    config.data_dir.mkdir(parents=True, exist_ok=True)
    _refuse_second(config.data_dir)
    with tempfile.TemporaryDirectory(prefix="canfleet-") as folder:
        _set_environment(Path(folder))
        # Imported here: Ray and Serve read their environment variables when they are imported.
        import ray
        from ray import serve as ray_serve

        from actors.launch import start_platform, stop_clickhouse
        from actors.platform_client import PlatformClient
        from serve.deploy import start as start_serve

        _start_ray(config)
        try:
            client = start_platform(config, bootstrap_key)
            url = start_serve(config, PlatformClient.connect)
            _write_run_file(config, url, client.config.clickhouse.url or "")
            try:
                yield url
            finally:
                ray_serve.shutdown()
                if not asyncio.run(client.drain(DRAIN_TIMEOUT_S)):
                    log.warning("not everything reached ClickHouse; it waits in the journal for the next start")
                stop_clickhouse()
        finally:
            (config.data_dir / RUN_FILE).unlink(missing_ok=True)
            ray.shutdown()


def read_run_file(data_dir: Path) -> dict[str, str | int]:
    """Process id, URL and ClickHouse URL of the platform that runs on a data directory.

    Raises:
        CanfleetError: none does.
    """
    try:
        document: dict[str, str | int] = json.loads((data_dir / RUN_FILE).read_text())
    except OSError as error:
        raise CanfleetError(f"no platform runs on {data_dir}") from error
    return document


def is_ready(url: str) -> bool:
    """Whether the platform at `url` says it can accept data."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _set_environment(folder: Path) -> None:
    from serve.haproxy import environment

    wanted = environment(folder) | {
        "RAY_max_direct_call_object_size": str(_INLINE_BYTES),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Everything binds to loopback here; a cluster sets its own mode, on every node.
        "RAY_AUTH_MODE": "token",
        "RAY_DEDUP_LOGS": "0",
        # Ray's default of 15 lets anything else on the machine go before the workers that acknowledge frames.
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def _start_ray(config: CanfleetConfig) -> None:
    import ray

    if config.ray.address is not None:
        ray.init(address=config.ray.address, namespace="canfleet", logging_level="warning")
        return
    ray.init(
        namespace="canfleet",
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        dashboard_port=config.ray.dashboard_port,
        object_store_memory=_OBJECT_STORE_BYTES,
        logging_level="warning",
        log_to_driver=True,
        _node_ip_address="127.0.0.1",
    )


def _refuse_second(data_dir: Path) -> None:
    path = data_dir / RUN_FILE
    if not path.exists():
        return
    pid = int(read_run_file(data_dir)["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        path.unlink()
        return
    raise CanfleetError(f"a platform runs on {data_dir} already, process {pid}: use `canfleet down` or another folder")


def _write_run_file(config: CanfleetConfig, url: str, clickhouse: str) -> None:
    document = {"pid": os.getpid(), "url": url, "clickhouse": clickhouse}
    (config.data_dir / RUN_FILE).write_text(json.dumps(document))
