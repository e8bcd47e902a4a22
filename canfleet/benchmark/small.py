"""Many vehicles that each send a few frames at a time, as JSON over connections that they keep."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from canfleet.benchmark.load import Target
from canfleet.benchmark.processes import Meter
from canfleet.benchmark.vehicles import run_at_once
from canfleet.benchmark.verify import Store, checks, wait_until
from pipeline.errors import CanfleetError
from simulator.latency import LatencyHistogram

FRAMES: Final = 10
_CONNECTIONS: Final = 500
_WARM_S: Final = 3.0
SETTLE_S: Final = 3.0
"""A platform that has just begun reloads HAProxy once more, which closes connections on which nothing is under way."""
TICK_S: Final = 0.002
"""How often what is due is sent."""
TIMEOUT_S: Final = 120.0
"""How long answers, and rows in ClickHouse, may be late."""
ENGINE: Final = 256
"""Arbitration id of a message that the simulator's database knows."""
HEAD_END: Final = b"\r\n\r\n"
"""What the head of an HTTP/1.1 answer ends with."""
_LENGTH: Final = b"content-length:"


@dataclass
class Answers:
    """What became of the requests: `others` counts answers that are no 202, by status."""

    requests: int = 0
    acknowledged: int = 0
    others: dict[int, int] = field(default_factory=dict)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)

    @property
    def answered(self) -> int:
        """Requests with any answer."""
        return self.acknowledged + sum(self.others.values())


def measure_small(target: Target, requests_per_s: float, vehicles: int, duration_s: float) -> dict[str, Any]:
    """Send `requests_per_s` requests of `FRAMES` frames for `duration_s`, each of one vehicle, once, when it is due.

    Latencies count from when a request was due, so that one which waits for a connection counts its wait.

    Raises:
        CanfleetError: a connection broke, or not everything was answered.
    """
    return asyncio.run(_measure(target, requests_per_s, vehicles, duration_s))


async def _measure(target: Target, requests_per_s: float, vehicles: int, duration_s: float) -> dict[str, Any]:
    store = await asyncio.to_thread(Store, target.clickhouse)
    meter = Meter(target.pid)
    fleet = _Fleet(target, vehicles)
    await fleet.connect()
    alone = run_at_once()
    warm, answers = Answers(), Answers()
    await fleet.send(requests_per_s / 2, _WARM_S, warm)
    meter.start()
    took_s = await fleet.send(requests_per_s, duration_s, answers)
    meter.stop()
    fleet.close()
    accepted = FRAMES * (warm.acknowledged + answers.acknowledged)
    await asyncio.to_thread(wait_until, lambda: store.frames() >= accepted and store.rolled_up(), TIMEOUT_S, 1.0)
    counts = await asyncio.to_thread(store.counts)
    store.close()
    return {
        "rate": requests_per_s,
        "frames": FRAMES,
        "duration_s": duration_s,
        "generator_runs_at_once": alone,
        "connections": _CONNECTIONS,
        "acknowledged_per_s": answers.acknowledged / took_s,
        "requests": answers.requests,
        "other_answers": answers.others,
        "latency_ms": answers.latency.summary_ms(),
        "processes": meter.report(FRAMES * answers.acknowledged),
        "checks": checks(counts, accepted),
    }


class _Fleet:
    """Vehicles behind `_CONNECTIONS` connections, each of which has one request under way at a time."""

    def __init__(self, target: Target, vehicles: int) -> None:
        parts = urlsplit(target.url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._head = (
            f"POST /v1/frames HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {target.key}\r\n"
            "Content-Type: application/x-ndjson\r\nContent-Length: "
        ).encode()
        self._vehicles = vehicles
        self._number = 0
        self._idle: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._connections: list[_Connection] = []
        self.answers = Answers()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(SETTLE_S)
        for _ in range(_CONNECTIONS):
            _, connection = await loop.create_connection(lambda: _Connection(self), *self._address)
            self._connections.append(connection)
        self._idle.extend(self._connections)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    async def send(self, requests_per_s: float, duration_s: float, answers: Answers) -> float:
        """Send requests when they are due; the seconds until the last was answered."""
        self.answers = answers
        clock = asyncio.get_running_loop().time
        began = clock()
        total, due = round(requests_per_s * duration_s), 0
        while due < total:
            now_due = min(total, int((clock() - began) * requests_per_s) + 1)
            for number in range(due, now_due):
                self._due.append(began + number / requests_per_s)
            answers.requests += now_due - due
            due = now_due
            self.dispatch()
            await asyncio.sleep(TICK_S)
        while answers.answered < total:
            if clock() - began > duration_s + TIMEOUT_S:
                raise CanfleetError(f"{total - answers.answered:,} of {total:,} requests were not answered")
            await asyncio.sleep(TICK_S)
        return clock() - began

    def dispatch(self) -> None:
        """Give what is due to connections that are idle."""
        while self._due and self._idle:
            body = self._body()
            self._idle.popleft().request(b"%b%d\r\n\r\n%b" % (self._head, len(body), body), self._due.popleft())

    def answered(self, connection: _Connection, status: int, latency_s: float) -> None:
        """Note an answer; its connection is idle again."""
        answers = self.answers
        if status == 202:
            answers.acknowledged += 1
            answers.latency.record(latency_s)
        else:
            answers.others[status] = answers.others.get(status, 0) + 1
        self._idle.append(connection)
        self.dispatch()

    def _body(self) -> bytes:
        number = self._number
        self._number += 1
        vehicle, first = number % self._vehicles, number // self._vehicles * FRAMES
        now = time.time_ns() // 1000
        return b"".join(
            b'{"vehicle_id":"small-%05d","timestamp":%d,"arbitration_id":%d,"data":"%016x","session":1,"sequence":%d}\n'
            % (vehicle, now + i, ENGINE, first + i, first + i)
            for i in range(FRAMES)
        )


class _Connection(asyncio.Protocol):
    """One connection, which knows just enough of HTTP/1.1 to cost the machine little."""

    def __init__(self, fleet: _Fleet) -> None:
        self._fleet = fleet
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._due: float | None = None
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def request(self, data: bytes, due: float) -> None:
        """Send one request; `_Fleet.answered` is told of its answer."""
        assert self._transport is not None
        self._due = due
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(HEAD_END)
        if not end:
            return
        lower = head.lower()
        at = lower.index(_LENGTH) + len(_LENGTH)
        if len(body) < int(lower[at:].split(b"\r\n", 1)[0]) or self._due is None:
            return
        self._received = b""
        latency_s = asyncio.get_running_loop().time() - self._due
        self._due = None
        self._fleet.answered(self, int(head[9:12]), latency_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            raise CanfleetError(f"the platform closed a connection: {exc}")

    def close(self) -> None:
        """Close it; not an error."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()
