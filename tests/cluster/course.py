"""What every course of events has in common: hosts, a cluster, a ClickHouse, load of known frames, the verdict."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from canfleet.benchmark.verify import wait_until
from pipeline.errors import CanfleetError
from tests.chaos.client import Client
from tests.chaos.proxy import TcpProxy
from tests.chaos.traffic import Traffic
from tests.chaos.verify import verify
from tests.clickhouse_process import HostProcess
from tests.cluster.hosts import OUTSIDE, Host, Network
from tests.cluster.launching import Entrance, Operator, url_of

_SETTLE_S: Final = 120.0


class KeyMaker(Protocol):
    """Who can make keys."""

    async def keys(self, url: str) -> list[str]: ...


class Course:
    """One course of events.

    Attributes:
        network: where hosts are made.
        faults: what is not as promised, a line each.
        report: everything that was measured, for JSON.
        others: fleets that send beside the known frames.
        calm_s: load before the first event, between two, and behind the last one.
        before: git revision of the release with which a rolling upgrade begins.
    """

    def __init__(self, folder: Path, rate: float, seed: int, calm_s: float, before: str) -> None:
        """Frames per second, and the seed of the frames; `folder` takes everything."""
        self.calm_s: Final = calm_s
        self.before: Final = before
        self.network: Final = Network(folder)
        self.faults: Final[list[str]] = []
        self.report: Final[dict[str, Any]] = {"rate": rate, "seed": seed, "seconds": {}, "faults": self.faults}
        self.others: Sequence[str] = ()
        self._folder = folder
        self._rate = rate
        self._seed = seed
        self._began = time.monotonic()

    @asynccontextmanager
    async def clickhouse(self) -> AsyncIterator[str]:
        """A ClickHouse outside of the cluster; its URL as seen from the hosts. Leave it last."""
        self._host = HostProcess(self._folder / "clickhouse")
        self._proxy = TcpProxy(_of(self._host), OUTSIDE)
        await self._proxy.start()
        try:
            yield f"http://{OUTSIDE}:{self._proxy.port}"
        finally:
            await self._proxy.refuse()
            self._host.terminate()

    async def restart_clickhouse(self) -> None:
        """Kill ClickHouse, and start it again on what it had."""
        await asyncio.to_thread(self._host.kill)
        self._host = await asyncio.to_thread(HostProcess, self._folder / "clickhouse")
        self._proxy.target = _of(self._host)

    @asynccontextmanager
    async def load(self, operator: KeyMaker, entrance: Entrance, seconds: float) -> AsyncIterator[Client]:
        """Known frames to the host's HAProxy, `seconds` of them before the body runs; behind it, the verdict.

        Also where the body ends with a CanfleetError, which is raised again.
        """
        url = url_of(entrance)
        keys = await operator.keys(url)
        traffic = Traffic(self._seed, self._rate, time.time_ns() // 1000)
        over = asyncio.Event()
        async with Client(url, keys, traffic, self._seed) as client, asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(_send(client, traffic, tasks, over))
            failed: CanfleetError | None = None
            try:
                await self.step("load", asyncio.sleep(seconds))
                yield client
                await asyncio.sleep(seconds)
            except CanfleetError as error:
                failed = error
            finally:
                over.set()
            await sending
            await asyncio.to_thread(wait_until, lambda: client.unsettled == 0, _SETTLE_S)
            await self._verify(client, traffic, keys, url)
            if failed is not None:
                raise failed

    async def recovered(self, client: Client, began: float, struck: float, timeout_s: float = 120.0) -> float | None:
        """Wait for the first acknowledgement of what was sent after `struck`; seconds since `began`, None: never."""
        await asyncio.to_thread(wait_until, lambda: client.recovered_s(began, struck) is not None, timeout_s)
        return client.recovered_s(began, struck)

    async def stop(self, operator: Operator, head: Host, workers: Sequence[Host]) -> None:
        """`canfleet down`, then `ray down` for the head and `ray stop` on the workers; nothing may be left."""
        await self.step("canfleet down", operator.ray("exec", f"canfleet down --data-dir {operator.shared}/data"))
        hosts = [head, *workers]
        self._expect_none("after canfleet down", hosts, ("ray::PartitionActor", "ray::ServeReplica"))
        await self.step("ray down", operator.ray("down", "--yes"))
        for worker in workers:
            await self.step(f"ray stop on {worker.name}", operator.on(worker, "ray stop"))
        self._expect_none("after ray down", hosts, ("raylet", "gcs_server", "haproxy", "ray::"))

    async def step(self, name: str, doing: Awaitable[object]) -> None:
        """Do it, and say how long it took."""
        began = time.monotonic()
        await doing
        self.report["seconds"][name] = round(time.monotonic() - began, 1)
        self.say(name)

    def say(self, line: str) -> None:
        """Tell whoever watches."""
        print(f"{time.monotonic() - self._began:7.1f} s  {line}", file=sys.stderr, flush=True)

    def _expect_none(self, when: str, hosts: Sequence[Host], titles: tuple[str, ...]) -> None:
        if left := titled(hosts, *titles):
            self.faults.append(f"left {when}: {left}")

    async def _verify(self, client: Client, traffic: Traffic, keys: list[str], url: str) -> None:
        self.say(f"{len(client.requests)} requests sent, {client.unsettled} not acknowledged; comparing …")
        bad = [sent.number for sent in client.requests if sent.bad and sent.acknowledged]
        acknowledged, skews_us = client.acknowledged(), client.skews_us()
        verdict = await asyncio.to_thread(
            verify, url, keys, self._host.url, traffic, acknowledged, skews_us, bad, self.others
        )
        self.report |= {
            "requests": len(client.requests),
            "answers": dict(client.answers),
            "failed_within_retries": sum(not sent.in_time for sent in client.requests),
            "availability": sum(sent.in_time for sent in client.requests) / max(1, len(client.requests)),
            "frames": {name: getattr(verdict.frames, name) for name in ("acknowledged", "stored", "lost", "doubled")},
        }
        self.faults += verdict.faults()
        if client.unsettled:
            self.faults.append(f"{client.unsettled} requests were never acknowledged")
        if client.wrong_receipts:
            self.faults.append(f"{client.wrong_receipts} wrong receipts")


def _of(host: HostProcess) -> tuple[str, int]:
    return "127.0.0.1", int(host.url.rsplit(":", 1)[1])


def titled(hosts: Sequence[Host], *titles: str) -> list[str]:
    """Processes on the hosts whose command, or its file's name, begins with one of the titles."""
    return [
        f"{host.name}: {command[:60].strip()}"
        for host in hosts
        for command in host.processes().values()
        if command.split(" ", 1)[0].rsplit("/", 1)[-1].startswith(titles)
    ]


async def _send(client: Client, traffic: Traffic, tasks: asyncio.TaskGroup, over: asyncio.Event) -> None:
    """Send requests when they are due, whatever becomes of earlier ones, until it is over."""
    clock = asyncio.get_running_loop().time
    began = clock()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, began + traffic.due_s(number) - clock()))
        if over.is_set():
            return
        tasks.create_task(client.send(0))
        await asyncio.sleep(0)  # requests are numbered in the order in which their tasks begin
