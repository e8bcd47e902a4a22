"""Many vehicles that stay connected by WebSocket and send a frame at a time."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from urllib.parse import urlsplit

from canfleet.benchmark.load import Target
from canfleet.benchmark.processes import Meter
from canfleet.benchmark.small import ENGINE, HEAD_END, SETTLE_S, TICK_S, TIMEOUT_S, Answers
from canfleet.benchmark.vehicles import run_at_once
from canfleet.benchmark.verify import Store, checks, wait_until
from pipeline.errors import CanfleetError

_WARM_S: Final = 5.0
_AT_ONCE: Final = 50
"""Connections opened at one time."""
_TEXT: Final = 0x81
_PING: Final = 0x89
_PONG: Final = 0x8A


def measure_stream(target: Target, vehicles: int, interval_s: float, duration_s: float) -> dict[str, Any]:
    """Let each of `vehicles` send one frame every `interval_s` for `duration_s`, each once, when it is due.

    Latencies count from when a message was due until the answer with its id has come.

    Raises:
        CanfleetError: a connection was refused or broke, or not everything was answered.
    """
    return asyncio.run(_measure(target, vehicles, interval_s, duration_s))


async def _measure(target: Target, vehicles: int, interval_s: float, duration_s: float) -> dict[str, Any]:
    store = await asyncio.to_thread(Store, target.clickhouse)
    meter = Meter(target.pid)
    await asyncio.sleep(SETTLE_S)
    fleet = _Fleet(target, vehicles, interval_s)
    await fleet.connect()
    alone = run_at_once()
    warm, answers = Answers(), Answers()
    await fleet.send(_WARM_S, warm)
    meter.start()
    took_s = await fleet.send(duration_s, answers)
    meter.stop()
    fleet.close()
    accepted = warm.acknowledged + answers.acknowledged
    await asyncio.to_thread(wait_until, lambda: store.frames() >= accepted and store.rolled_up(), TIMEOUT_S, 1.0)
    counts = await asyncio.to_thread(store.counts)
    store.close()
    return {
        "vehicles": vehicles,
        "interval_s": interval_s,
        "rate": vehicles / interval_s,
        "duration_s": duration_s,
        "generator_runs_at_once": alone,
        "acknowledged_per_s": answers.acknowledged / took_s,
        "messages": answers.requests,
        "other_answers": answers.others,
        "latency_ms": answers.latency.summary_ms(),
        "processes": meter.report(answers.acknowledged),
        "checks": checks(counts, accepted),
    }


class _Fleet:
    """Vehicles with one connection each, whose turns are spread evenly over the interval."""

    def __init__(self, target: Target, vehicles: int, interval_s: float) -> None:
        parts = urlsplit(target.url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._handshake = (
            f"GET /v1/stream HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {target.key}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
        self._vehicles = vehicles
        self._interval_s = interval_s
        self._number = 0
        self._connections: list[_Connection] = []
        self.answers = Answers()

    async def connect(self) -> None:
        """Open all connections, some at a time."""
        for first in range(0, self._vehicles, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, self._vehicles))
            self._connections += await asyncio.gather(*map(self._connected, numbers))

    async def _connected(self, number: int) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self, number), *self._address)
        await connection.upgrade(self._handshake)
        return connection

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    async def send(self, duration_s: float, answers: Answers) -> float:
        """Send messages when they are due; the seconds until the last was answered.

        Raises:
            CanfleetError: a connection broke, or not everything was answered.
        """
        self.answers = answers
        clock = asyncio.get_running_loop().time
        began, per_s = clock(), self._vehicles / self._interval_s
        total, sent = round(per_s * duration_s), 0
        while answers.answered < total:
            elapsed = clock() - began
            for number in range(sent, min(total, int(elapsed * per_s) + 1)):
                vehicle = self._connections[number % self._vehicles]
                vehicle.say(self._number, began + number / per_s)
                self._number += 1
                answers.requests += 1
                sent = number + 1
            if elapsed > duration_s + TIMEOUT_S or any(one.broken for one in self._connections):
                raise CanfleetError(f"{total - answers.answered:,} of {total:,} messages were not answered")
            await asyncio.sleep(TICK_S)
        return clock() - began

    def answered(self, status: int, latency_s: float) -> None:
        """Note an answer."""
        if status == 202:
            self.answers.acknowledged += 1
            self.answers.latency.record(latency_s)
        else:
            self.answers.others[status] = self.answers.others.get(status, 0) + 1


class _Connection(asyncio.Protocol):
    """One vehicle's connection, which knows just enough of RFC 6455 to cost the machine little."""

    def __init__(self, fleet: _Fleet, number: int) -> None:
        self._fleet = fleet
        self._number = number
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._due: dict[bytes, float] = {}
        self._upgraded: asyncio.Future[None] | None = None
        self._closing = False
        self.broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def upgrade(self, handshake: bytes) -> None:
        """Make it a WebSocket.

        Raises:
            CanfleetError: the platform refuses.
        """
        assert self._transport is not None
        self._upgraded = asyncio.get_running_loop().create_future()
        self._transport.write(handshake)
        await self._upgraded

    def say(self, number: int, due: float) -> None:
        """Send one frame; `_Fleet.answered` is told of the answer."""
        assert self._transport is not None
        frame = (
            b'{"vehicle_id":"stream-%05d","timestamp":%d,"arbitration_id":%d,"data":"%016x","session":1,"sequence":%d}'
        )
        body = frame % (self._number, time.time_ns() // 1000, ENGINE, number, number)
        message_id = b"%d" % number
        self._due[message_id] = due
        self._transport.write(_masked(_TEXT, message_id + b"\n" + body))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._upgraded is not None and not self._upgraded.done():
            head, end, rest = bytes(self._received).partition(HEAD_END)
            if not end:
                return
            self._received = bytearray(rest)
            if not head.startswith(b"HTTP/1.1 101"):
                self._upgraded.set_exception(CanfleetError(f"the stream was refused: {head[:200]!r}"))
                return
            self._upgraded.set_result(None)
        self._read_messages()

    def _read_messages(self) -> None:
        received = self._received
        while len(received) >= 2:
            length, start = received[1], 2
            if length == 126:
                length, start = int.from_bytes(received[2:4], "big"), 4
            if length == 127 or len(received) < start + length:
                return
            kind, payload = received[0], bytes(received[start : start + length])
            del received[: start + length]
            if kind == _TEXT:
                self._answered(payload)
            elif kind == _PING and self._transport is not None:
                self._transport.write(_masked(_PONG, payload))

    def _answered(self, answer: bytes) -> None:
        """Read `{"id":"17","status":202,…`."""
        message_id, _, rest = answer[7:].partition(b'"')
        due = self._due.pop(message_id)
        self._fleet.answered(int(rest[10:13]), asyncio.get_running_loop().time() - due)

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = not self._closing
        if self._upgraded is not None and not self._upgraded.done():
            self._upgraded.set_exception(CanfleetError(f"the platform closed a connection: {exc}"))

    def close(self) -> None:
        """Close it; not an error."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()


def _masked(kind: int, payload: bytes) -> bytes:
    """A frame of a client, which must be masked; with a mask of zeros nothing changes."""
    n = len(payload)
    length = bytes([0x80 | n]) if n < 126 else bytes([0x80 | 126]) + n.to_bytes(2, "big")
    return bytes([kind]) + length + b"\0\0\0\0" + payload
