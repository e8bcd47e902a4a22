"""ClickHouse away under load: what acknowledgements take meanwhile, and how fast the backlog drains afterwards."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from canfleet import api
from canfleet.benchmark.load import NOTHING, Target
from canfleet.benchmark.verify import Store, checks, wait_until
from canfleet.child import ChildPlatform
from pipeline.errors import CanfleetError
from simulator.fleet import Fleet, warm_up
from simulator.run import run_fleet
from simulator.sender import Results, Sender

_BEFORE_S: Final = 15.0
_DRAIN_TIMEOUT_S: Final = 1800.0
_ROLLUP_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Once a second: seconds since the start, frames acknowledged as accepted, frames in ClickHouse, journal bytes."""

    at_s: float
    accepted: int
    stored: int
    journal_bytes: int


class OwnClickHouse:
    """The embedded ClickHouse as a process of the benchmark's own, which it can kill and start again."""

    def __init__(self, folder: Path) -> None:
        """Listen on a free port."""
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url: Final = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "actors.clickhouse_host", "--data-dir", str(self._folder)]
        self._process = subprocess.Popen(
            [*command, "--port", str(self._port)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        if self._process.stdout is None or not self._process.stdout.readline():
            raise CanfleetError("the benchmark's own ClickHouse did not start")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def platform_with_own_clickhouse() -> Iterator[tuple[Target, OwnClickHouse]]:
    """A fresh platform on a ClickHouse that can be killed without being restarted."""
    with tempfile.TemporaryDirectory(prefix="canfleet-bench-") as folder:
        clickhouse = OwnClickHouse(Path(folder) / "clickhouse")
        clickhouse.start()
        try:
            config = Path(folder) / "canfleet.yaml"
            config.write_text(yaml.safe_dump({"clickhouse": {"url": clickhouse.url, "storage_policy": "hot_cold"}}))
            with ChildPlatform(Path(folder) / "data", 0, 0, 0, "--config", str(config)) as child:
                yield Target(child.url, child.key, clickhouse.url, child.pid), clickhouse
        finally:
            clickhouse.kill()


def measure_outage(
    target: Target, clickhouse: OwnClickHouse, rate: float, vehicles: int, away_s: float
) -> dict[str, Any]:
    """Kill ClickHouse under load, start it again `away_s` later, and follow the backlog until it is gone.

    Raises:
        CanfleetError: the platform refused a request for good, or ended.
    """
    return asyncio.run(_measure(target, clickhouse, rate, vehicles, away_s))


async def _measure(
    target: Target, clickhouse: OwnClickHouse, rate: float, vehicles: int, away_s: float
) -> dict[str, Any]:
    warm_up()
    store = await asyncio.to_thread(Store, target.clickhouse)
    samples: list[Sample] = []
    done = asyncio.Event()
    async with Sender(target.url, target.key, connections=32) as sender:
        fleet = Fleet(vehicles, rate / vehicles, injections=NOTHING, start_us=time.time_ns() // 1000 + 500_000)
        traffic = asyncio.create_task(run_fleet(fleet, sender, duration_s=0, frames_per_s=rate, stop=done))
        sampling = asyncio.create_task(_sample(target, sender.results, samples))
        await asyncio.sleep(_BEFORE_S)
        await asyncio.to_thread(clickhouse.kill)
        await asyncio.sleep(away_s)
        latency = sender.results.latency.summary_ms()
        await asyncio.to_thread(clickhouse.start)
        returned = samples[-1]
        drained = await _drained(samples, returned, rate)
        done.set()
        results = await traffic
        sampling.cancel()
    await asyncio.to_thread(wait_until, lambda: store.frames() >= results.accepted, _ROLLUP_TIMEOUT_S)
    await asyncio.to_thread(wait_until, store.rolled_up, _ROLLUP_TIMEOUT_S, 1.0)
    counts = await asyncio.to_thread(store.counts)
    store.close()
    took_s = drained.at_s - returned.at_s
    return {
        "rate": rate,
        "away_s": away_s,
        "backlog_frames": returned.accepted - returned.stored,
        "drained_after_s": took_s,
        "stored_per_s": (drained.stored - returned.stored) / took_s,
        "latency_ms": latency,
        "journal_mib": max(sample.journal_bytes for sample in samples) / 2**20,
        "client": results.as_json(),
        "accepted": results.accepted,
        "counts": counts,
        "checks": checks(counts, results.accepted),
    }


async def _sample(target: Target, results: Results, samples: list[Sample]) -> None:
    began = time.monotonic()
    while True:
        try:
            status = await asyncio.to_thread(api.get, target.url, "/v1/status", target.key)
        except CanfleetError:
            # Busy: the next look is soon enough.
            await asyncio.sleep(1.0)
            continue
        if status["ledger"] is None:
            # A shard is away: the next look is soon enough.
            await asyncio.sleep(1.0)
            continue
        journal = sum(shard.get("journal_bytes", 0) for shard in status["shards"])
        samples.append(Sample(time.monotonic() - began, results.accepted, status["ledger"]["stored"], journal))
        await asyncio.sleep(1.0)


async def _drained(samples: list[Sample], returned: Sample, rate: float) -> Sample:
    """The first sample after ClickHouse's return with no more waiting than in good times: two seconds of traffic."""
    give_up = time.monotonic() + _DRAIN_TIMEOUT_S
    while time.monotonic() < give_up:
        newest = samples[-1]
        if newest.at_s > returned.at_s and newest.accepted - newest.stored < 2 * rate:
            return newest
        await asyncio.sleep(0.5)
    raise CanfleetError(f"the backlog was not stored within {_DRAIN_TIMEOUT_S:g} s of ClickHouse's return")
