"""Twice what the platform can take, and a trickle of critical requests that must get through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Any, Final

import aiohttp
import numpy as np
import orjson
import pyarrow as pa

from canfleet import api
from canfleet.benchmark.load import BATCH, Target
from canfleet.benchmark.processes import PARTITIONS, Meter, family
from canfleet.benchmark.recording import Recording, Traffic
from canfleet.benchmark.vehicles import run_at_once
from canfleet.benchmark.verify import Store, checks, wait_until
from pipeline.errors import CanfleetError
from pipeline.frames.schema import TIMESTAMP
from simulator.body import Body, arrow_stream
from simulator.fleet import warm_up
from simulator.latency import LatencyHistogram
from simulator.sender import ARROW_STREAM, Sender

CRITICAL_ID: Final = 128
"""`Diagnostics`, which the simulator's database marks as critical."""
CRITICAL_FRAMES: Final = 50
CRITICAL_PER_S: Final = 20
_CONNECTIONS: Final = 256
"""So many that the platform decides what is refused, and not a client that waits."""
_STORE_TIMEOUT_S: Final = 180.0
_FIRST_S: Final = 5.0
_BEFORE_RATE: Final = 50_000.0
_BEFORE_S: Final = 5.0


@dataclass
class Answers:
    """What became of the requests of one kind."""

    requests: int = 0
    frames: int = 0
    accepted: int = 0
    refused: int = 0
    told_when: int = 0
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)

    def as_json(self) -> dict[str, Any]:
        """Requests and frames sent, frames accepted, answers 503 (`told_when` with Retry-After), latencies in ms."""
        counts = {name: value for name, value in vars(self).items() if not isinstance(value, LatencyHistogram)}
        return counts | {"latency_ms": self.latency.summary_ms()}


def measure_overload(target: Target, traffic: Traffic) -> dict[str, Any]:
    """Send `traffic` whatever the answers, each request once, and critical requests beside it.

    Some seconds of ordinary load come before and are not measured: what meets overload is a fleet that is known, and
    its first frames cost more than all others, since the state of 10,000 vehicles is made.

    Latencies count from when a request was due. A refused request is not sent again: what is offered stays offered.

    Raises:
        CanfleetError: the platform ended.
    """
    return asyncio.run(_measure(target, traffic))


async def _measure(target: Target, traffic: Traffic) -> dict[str, Any]:
    warm_up()
    store = await asyncio.to_thread(Store, target.clickhouse)
    normal = Answers()
    meter = Meter(target.pid)
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": ARROW_STREAM}
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    # A process of its own, as another vehicle would be: the flood's event loop must not delay what is measured.
    vehicle = ProcessPoolExecutor(1, get_context("spawn"))
    vehicle.submit(warm_up).result()
    try:
        before = await _ordinary_load(target, traffic)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            address = f"{target.url.rstrip('/')}/v1/frames"
            recording = await asyncio.to_thread(Recording, traffic, BATCH)
            await asyncio.sleep(recording.starts_in_s())
            alone = run_at_once()
            meter.start()
            began = time.monotonic()
            async with _memory(target.pid) as memory:
                trickle = asyncio.wrap_future(vehicle.submit(send_critical, address, headers, traffic.duration))
                await _flood(session, address, recording, normal)
            took_s = time.monotonic() - began
            meter.stop()
            critical = await trickle
        accepted = before + normal.accepted + critical.accepted
        stored_after_s = await asyncio.to_thread(_wait_until_stored, target, store, accepted)
        counts = await asyncio.to_thread(store.counts)
        return {
            "rate": traffic.rate,
            "generator_runs_at_once": alone,
            "duration_s": traffic.duration,
            "took_s": took_s,
            "offered_per_s": normal.frames / took_s,
            "accepted_per_s": normal.accepted / took_s,
            "normal": normal.as_json(),
            "critical": critical.as_json(),
            "partition_memory": memory_summary(memory),
            "processes": meter.report(normal.accepted + critical.accepted),
            "stored_after_s": stored_after_s,
            "accepted": accepted,
            "counts": counts,
            "checks": {name: holds for name, holds in checks(counts, accepted).items() if "rollup" not in name},
        }
    finally:
        vehicle.shutdown()
        store.close()


async def _ordinary_load(target: Target, traffic: Traffic) -> int:
    """Send the same fleet's frames at an ordinary rate for some seconds; returns how many were accepted."""
    ordinary = replace(traffic, rate=min(_BEFORE_RATE, traffic.rate), duration=_BEFORE_S)
    recording = await asyncio.to_thread(Recording, ordinary, BATCH)
    async with Sender(target.url, target.key) as sender:
        await asyncio.sleep(recording.starts_in_s())
        await recording.send(sender)
    return sender.results.accepted


async def _flood(session: aiohttp.ClientSession, address: str, recording: Recording, answers: Answers) -> None:
    """Send each request when it is due, whether or not those before it are answered."""
    clock = asyncio.get_running_loop().time
    start = clock() + recording.starts_in_s()
    free = asyncio.Semaphore(_CONNECTIONS)

    async def send(body: Body, due: float) -> None:
        try:
            await _post(session, address, body.content, body.frames, due, answers)
        finally:
            free.release()

    async with asyncio.TaskGroup() as tasks:
        for after_s, body in recording.requests():
            await asyncio.sleep(max(0.0, start + after_s - clock()))
            await free.acquire()
            tasks.create_task(send(body, start + after_s))


def send_critical(address: str, headers: dict[str, str], duration_s: float) -> Answers:
    """Send a critical request 20 times a second for `duration_s`, whether or not those before it are answered."""
    run_at_once()
    return asyncio.run(_trickle(address, headers, round(duration_s * CRITICAL_PER_S)))


async def _trickle(address: str, headers: dict[str, str], requests: int) -> Answers:
    answers = Answers()
    clock = asyncio.get_running_loop().time
    start = clock()
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as tasks:
        for number in range(requests):
            due = start + number / CRITICAL_PER_S
            await asyncio.sleep(max(0.0, due - clock()))
            body = critical_body(time.time_ns() // 1000, number)
            tasks.create_task(_post(session, address, body, CRITICAL_FRAMES, due, answers))
    return answers


def critical_body(timestamp_us: int, number: int) -> bytes:
    """One request of critical frames of as many vehicles, the `number`th of this session."""
    n = CRITICAL_FRAMES
    batch = pa.RecordBatch.from_pydict(
        {
            "vehicle_id": pa.array([f"critical-{i:03}" for i in range(n)]),
            "timestamp": pa.array(np.full(n, timestamp_us)).cast(TIMESTAMP),
            "arbitration_id": pa.array(np.full(n, CRITICAL_ID, np.uint32)),
            "data": pa.array([bytes(4)] * n),
            "session": pa.array(np.full(n, 1, np.uint32)),
            "sequence": pa.array(np.full(n, number, np.uint64)),
        }
    )
    return arrow_stream(batch)


async def _post(
    session: aiohttp.ClientSession, address: str, content: bytes, frames: int, due: float, answers: Answers
) -> None:
    answers.requests += 1
    answers.frames += frames
    async with session.post(address, data=content) as answer:
        text = await answer.read()
    if answer.status == 202:
        answers.accepted += int(orjson.loads(text)["accepted"])
        answers.latency.record(asyncio.get_running_loop().time() - due)
    elif answer.status == 503:
        answers.refused += 1
        answers.told_when += "Retry-After" in answer.headers
    else:
        raise CanfleetError(f"{address} answered {answer.status}: {text[:200]!r}")


@asynccontextmanager
async def _memory(pid: int | None) -> AsyncIterator[list[tuple[float, float]]]:
    """Each second (seconds since the start, resident MiB of the partition actors), while the context is open."""
    samples: list[tuple[float, float]] = []

    async def sample(root: int) -> None:
        began = time.monotonic()
        while True:
            used = [usage.rss for usage in family(root).values() if usage.role == PARTITIONS]
            samples.append((time.monotonic() - began, sum(used) / 2**20))
            await asyncio.sleep(1.0)

    async with asyncio.TaskGroup() as tasks:
        sampling = None if pid is None else tasks.create_task(sample(pid))
        yield samples
        if sampling is not None:
            sampling.cancel()


def memory_summary(samples: list[tuple[float, float]]) -> dict[str, Any]:
    """Resident MiB at the start, at most in each half of the time after the first seconds, and all samples."""
    later = [used for at, used in samples if at >= _FIRST_S]
    middle = len(later) // 2
    return {
        "start_mib": samples[0][1] if samples else 0.0,
        "first_half_mib": max(later[:middle], default=0.0),
        "second_half_mib": max(later[middle:], default=0.0),
        "samples": [used for _, used in samples],
    }


def _wait_until_stored(target: Target, store: Store, accepted: int) -> float:
    def stored() -> bool:
        return store.frames() >= accepted and not api.get(target.url, "/v1/ledger", target.key)["pending"]

    return wait_until(stored, _STORE_TIMEOUT_S)
