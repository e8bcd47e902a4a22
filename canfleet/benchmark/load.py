"""A real platform under a simulated fleet: what it acknowledges and when, what is seen when, what it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import numpy as np
import orjson

from canfleet import api
from canfleet.benchmark import probe as probing
from canfleet.benchmark.detection import scores
from canfleet.benchmark.probe import Probe
from canfleet.benchmark.processes import Meter
from canfleet.benchmark.recording import Recording, Traffic
from canfleet.benchmark.verify import Store, checks, wait_until
from canfleet.benchmark.visibility import LiveListener
from simulator.fleet import Fleet, warm_up
from simulator.injections import Injections
from simulator.sender import Results, Sender

BATCH: Final = 5_000
INJECTIONS: Final = Injections(duplicates=0.01, late=0.01, anomalies=0.3)
"""What goes wrong under load; an episode per vehicle every 200 s gives 10,000 vehicles 50 a second."""
NOTHING: Final = Injections()
_CONNECTIONS: Final = 32
"""So many that the schedule stays an open loop: few would let a slow answer hold back the requests behind it."""
_ANOMALIES_TIMEOUT_S: Final = 10.0
_RAMP_S: Final = 5
_STORE_TIMEOUT_S: Final = 120.0
_ROLLUP_TIMEOUT_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Target:
    """A running platform; `pid` of its first process where it runs on this machine and its CPU is to be measured."""

    url: str
    key: str
    clickhouse: str
    pid: int | None = None


def measure_load(target: Target, traffic: Traffic) -> dict[str, Any]:
    """Latencies and cost under `traffic`, with the anomalies that were injected looked for afterwards.

    Raises:
        CanfleetError: the platform refused a request for good, or ended.
    """
    return asyncio.run(_measure(target, traffic, watched=True))


def measure_sustained(target: Target, traffic: Traffic) -> dict[str, Any]:
    """Whether the platform keeps up with `traffic`; nothing else is asked of it meanwhile.

    Raises:
        CanfleetError: as in `measure_load`.
    """
    return asyncio.run(_measure(target, traffic, watched=False))


async def _measure(target: Target, traffic: Traffic, *, watched: bool) -> dict[str, Any]:
    warm_up()
    store = await asyncio.to_thread(Store, target.clickhouse)
    meter = Meter(target.pid)
    try:
        async with (
            Sender(target.url, target.key, connections=_CONNECTIONS) as sender,
            _watching(target, watched) as (listener, probe),
        ):
            await sender.check()
            recording = await asyncio.to_thread(Recording, traffic, BATCH)
            await asyncio.sleep(recording.starts_in_s())
            async with _backlog(target, sender.results, meter) as samples:
                began = time.monotonic()
                await recording.send(sender)
                took_s = time.monotonic() - began
            results = sender.results
        accepted = results.accepted + probe.sent
        stored_after_s, rolled_up_after_s = await asyncio.to_thread(_wait_until_stored, target, store, accepted)
        meter.stop()
        document = {
            "rate": traffic.rate,
            "duration_s": traffic.duration,
            "vehicles": traffic.vehicles,
            "took_s": took_s,
            "acknowledged_per_s": results.acknowledged / max(took_s, traffic.duration),
            "client": results.as_json(),
            "backlog": backlog_summary(samples, traffic.rate),
            "stored_after_s": stored_after_s,
            "rolled_up_after_s": stored_after_s + rolled_up_after_s,
            "processes": meter.report(results.acknowledged),
        }
        if watched:
            document |= {"anomalies": listener.summary(), "probe": probe.summary()}
            document["detection"] = await asyncio.to_thread(_detection, store, recording.fleet, listener)
        counts = await asyncio.to_thread(store.counts)
        tables = await asyncio.to_thread(store.tables)
        return document | {
            "accepted": accepted,
            "counts": counts,
            "checks": checks(counts, accepted),
            "tables": tables,
            "per_thousand": per_thousand(document, recording.sent_bytes, tables),
        }
    finally:
        store.close()


@asynccontextmanager
async def _watching(target: Target, watched: bool) -> AsyncIterator[tuple[LiveListener, Probe]]:
    """A listener and a probe; they do nothing unless `watched`. Leaving waits for the last frames' anomalies."""
    async with aiohttp.ClientSession() as session:
        listener = LiveListener(session, target.url, target.key)
        probe = Probe(target.url, target.key, target.clickhouse)
        if not watched:
            yield listener, probe
            return
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listener.run())
            probing_task = tasks.create_task(probe.run())
            await listener.listening.wait()
            yield listener, probe
            probe.stop()
            await probing_task
            listening.cancel()
        await listener.close()


@asynccontextmanager
async def _backlog(target: Target, results: Results, meter: Meter) -> AsyncIterator[list[tuple[float, int]]]:
    """Each second (seconds since the start, acknowledged frames not yet in ClickHouse), while the context is open."""
    samples: list[tuple[float, int]] = []
    headers = {"Authorization": f"Bearer {target.key}"}

    async def sample() -> None:
        began = time.monotonic()
        async with aiohttp.ClientSession(headers=headers) as session:
            before: int | None = None
            while True:
                async with session.get(f"{target.url}/v1/ledger") as answer:
                    answer.raise_for_status()
                    stored = int(orjson.loads(await answer.read())["stored"])
                before = stored if before is None else before
                samples.append((time.monotonic() - began, results.accepted - (stored - before)))
                meter.look()
                await asyncio.sleep(1.0)

    meter.start()
    async with asyncio.TaskGroup() as tasks:
        sampling = tasks.create_task(sample())
        yield samples
        sampling.cancel()


def per_thousand(run: dict[str, Any], sent_bytes: int, tables: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What 1,000 messages took: CPU milliseconds by process, requests, bytes sent, bytes stored by table."""
    thousands = run["client"]["acknowledged"] / 1000
    roles = {role: one["cpu_s_per_million"] for role, one in run["processes"]["roles"].items()}
    return {
        "cpu_ms": roles,
        "requests": run["client"]["requests"] / thousands,
        "sent_bytes": sent_bytes / thousands,
        "stored_bytes": {table: one["mib"] * 2**20 / thousands for table, one in tables.items()},
    }


def backlog_summary(samples: list[tuple[float, int]], rate: float) -> dict[str, Any]:
    """How many acknowledged frames waited for ClickHouse: mean, most, last, and growth in frames/s.

    Growth is the slope of the least-squares line through the samples after the first seconds. It counts as growing
    from 2 % of `rate` on: less than that is the saw-tooth of inserts.
    """
    later = np.array([sample for sample in samples if sample[0] >= _RAMP_S])
    growth = float(np.polyfit(later[:, 0], later[:, 1], 1)[0]) if len(later) > 2 else 0.0
    waiting = [count for _, count in samples]
    return {
        "mean_frames": float(np.mean(waiting)) if waiting else 0.0,
        "most_frames": max(waiting, default=0),
        "last_frames": waiting[-1] if waiting else 0,
        "growth_per_s": growth,
        "growing": growth > 0.02 * rate,
        "samples": waiting,
    }


def _wait_until_stored(target: Target, store: Store, accepted: int) -> tuple[float, float]:
    """Wait until all accepted frames are in ClickHouse, then until the rollups know of them; seconds waited for each.

    Frames are inserted before their values: only when the ledger counts them as stored are the values there too. The
    rollups learn of values later still, as `shard.rollup_interval_s` says.
    """

    def stored() -> bool:
        return store.frames() >= accepted and not api.get(target.url, "/v1/ledger", target.key)["pending"]

    return wait_until(stored, _STORE_TIMEOUT_S), wait_until(store.rolled_up, _ROLLUP_TIMEOUT_S, 1.0)


def _detection(store: Store, fleet: Fleet, listener: LiveListener) -> dict[str, Any]:
    """Recall and precision over the anomalies in ClickHouse, once as many are there as were heard of live."""
    wait_until(lambda: store.counts()["anomalies"] >= listener.heard, _ANOMALIES_TIMEOUT_S, 0.5)
    truth = [episode.as_json() for episode in fleet.episodes()]
    return scores(truth, store.anomalies(fleet.start_us, probing.VEHICLE))
