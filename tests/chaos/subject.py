"""The platform that chaos is done to: `canfleet up`, with the embedded ClickHouse or with one behind a proxy."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import psutil
import yaml

from canfleet.child import ChildPlatform
from simulator import FLEET_DBC
from tests.chaos import processes
from tests.chaos.proxy import TcpProxy
from tests.chaos.traffic import FLEETS
from tests.clickhouse_process import HostProcess

_T = TypeVar("_T")


class Subject:
    """A platform on a folder, as an async context: entering waits until it accepts data.

    Attributes:
        child: the process `canfleet up`; its ports and key outlive restarts.
        proxy: between the platform and its ClickHouse; None where that is the embedded one.
        data_dir: of the platform.
        down: it is being killed and started on purpose.
        restarts: how often it had to be started again by us.
        orphans: processes whose platform was killed above them; what is left of them ends with us.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], *, external: bool) -> None:
        """`settings` is the configuration file's document; `external` puts ClickHouse behind a proxy."""
        self.data_dir = folder / "data"
        self.proxy: TcpProxy | None = None
        self.down = False
        self.restarts = 0
        self.orphans: list[psutil.Process] = []
        self._folder = folder
        self._settings = settings
        self._external = external
        self._host: HostProcess | None = None
        # The kernel ends a child of ours with the thread that started it: one thread, for as long as we live.
        self._thread = ThreadPoolExecutor(1, "subject")

    async def __aenter__(self) -> Self:
        """Start it."""
        settings = {"dbc": [str(FLEET_DBC)], **self._settings}
        if self._external:
            await self.start_clickhouse()
            assert self.proxy is not None
            settings["clickhouse"] = {"url": f"http://127.0.0.1:{self.proxy.port}", "storage_policy": "hot_cold"}
        config = self._folder / "chaos.yaml"
        config.write_text(yaml.safe_dump(settings))
        self.child = ChildPlatform(self.data_dir, 0, 0, 0, "--config", str(config))
        await self._run(self.child.__enter__)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kill it, which takes no time, and stop what was started for it."""
        try:
            if self.child.running:
                await asyncio.to_thread(processes.kill_family, self.child.pid)
                await self._run(self.child.kill)
        finally:
            if self._host is not None:
                await self._run(self._host.terminate)
            if self.proxy is not None:
                await self.proxy.refuse()
            self._thread.shutdown()
            for orphan in self.orphans:
                processes.send(orphan, signal.SIGKILL)

    async def restart(self) -> None:
        """Start the platform again after it has ended."""
        await self._run(self.child.kill)
        await self._run(self.child.__enter__)
        self.restarts += 1

    async def start_clickhouse(self) -> None:
        """Start the ClickHouse behind the proxy, on the data it had."""
        self._host = await self._run(lambda: HostProcess(self._folder / "clickhouse"))
        target = urlsplit(self._host.url)
        assert target.hostname is not None, "ClickHouse did not start"
        assert target.port is not None
        if self.proxy is None:
            self.proxy = TcpProxy((target.hostname, target.port))
            await self.proxy.start()
        self.proxy.target = (target.hostname, target.port)

    @property
    def clickhouse(self) -> HostProcess:
        """The ClickHouse behind the proxy."""
        assert self._host is not None
        return self._host

    @property
    def clickhouse_url(self) -> str:
        """Where ClickHouse itself listens."""
        return self.child.clickhouse_url if self._host is None else self._host.url

    async def keys(self) -> list[str]:
        """A key for each fleet of FLEETS."""
        made = []
        async with httpx.AsyncClient(base_url=self.child.url, headers={"X-API-Key": self.child.key}) as http:
            for fleet in FLEETS[1:]:
                answer = await http.post("/v1/keys", json={"fleet": fleet, "scopes": ["ingest", "query"]})
                made.append(answer.raise_for_status().json()["key"])
        return [self.child.key, *made]

    async def _run(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
