"""The embedded ClickHouse as one object: engine, HTTP server, and their threads."""

from __future__ import annotations

import logging
import os
import socket
import threading
from pathlib import Path
from typing import Final

import uvicorn

from actors.clickhouse_host.cold_volume import claim_folder, folder_disk, s3_disk
from actors.clickhouse_host.engine import Engine
from actors.clickhouse_host.http import ClickHouseHTTP
from actors.clickhouse_host.server_config import server_config
from actors.clickhouse_host.write_through import write_through
from pipeline.clickhouse.settings import ColdSettings
from pipeline.errors import ConfigError

_THREADS: Final = 8
_SMALLEST_MEMORY: Final = 1 << 30
_LOOPBACK: Final = "127.0.0.1"

log = logging.getLogger(__name__)


class ClickHouseHost:
    """ClickHouse on 127.0.0.1, from the constructor's return until `stop`.

    One host per process, since chDB serves one path per process; two hosts never share a folder.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 8123,
        *,
        password: str = "",
        cold: ColdSettings | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        """Open the data, and start to answer.

        Args:
            data_dir: folder of all data; created.
            port: to listen on; 0 takes a free one, see `url`.
            password: of the users `default` and `dashboards`; empty: none is asked for.
            cold: where the cold volume is; default: the folder `cold` in `data_dir`.
            memory_bytes: cap for the process; default: half of the machine's memory, at least 1 GiB.

        Raises:
            ConfigError: the port or the folder is taken, the cold volume is not there, or the data cannot be opened.
        """
        data_dir = data_dir.resolve()
        hot = data_dir / "hot"
        hot.mkdir(parents=True, exist_ok=True)
        listener = _listen(port)
        try:
            cold_folder, disk = _cold_disk(data_dir, cold or ColdSettings())
            config = data_dir / "config.xml"
            config.touch(mode=0o600)
            config.chmod(0o600)
            config.write_text(server_config(hot, disk, memory_bytes or _half_of_memory()))
            self._engine = Engine(data_dir, config, _THREADS, [hot, cold_folder])
        except BaseException:
            listener.close()
            raise
        self.url: Final = f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
        self.version: Final = self._engine.version
        app = ClickHouseHTTP(self._engine, password=password)
        # Serving statements needs no lifespan; a request that runs at stop time gets its answer first.
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_keep_alive=75,
                server_header=False,
                timeout_graceful_shutdown=10,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="clickhouse-http", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, let running statements end, close the data. Idempotent."""
        if self._server.should_exit:
            return
        self._server.should_exit = True
        self._thread.join()
        self._engine.close()


def _cold_disk(data_dir: Path, cold: ColdSettings) -> tuple[Path, str]:
    """The cold disk's folder, and the disk as XML.

    What is moved to it is durable before it leaves the hot one, where the kernel can.
    """
    if cold.s3 is not None:
        folder = data_dir / "cold-s3"
        folder.mkdir(exist_ok=True)
    else:
        folder = (cold.folder or data_dir / "cold").resolve()
        claim_folder(data_dir, folder)
    if not write_through(folder):
        log.info("%s cannot be written through: a power cut may lose parts that were just moved", folder)
    return folder, folder_disk(folder) if cold.s3 is None else s3_disk(cold.s3, folder)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"ClickHouse cannot listen on {_LOOPBACK}:{port}: {error.strerror}; choose another --clickhouse-port"
        ) from error
    return listener


def _half_of_memory() -> int:
    return max(_SMALLEST_MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
