"""How soon an anomaly is seen: a listener of `/v1/live` that also looks some of them up in `/v1/anomalies`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import orjson

from simulator.latency import LatencyHistogram

_ASKED_AT_ONCE: Final = 2
_MOST_ASKED: Final = 400


class EventParser:
    """Bytes of a stream of server-sent events, cut anywhere, into (event, data); comments are left out."""

    def __init__(self) -> None:
        """Begin at the start of a stream."""
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """The events that `chunk` completes."""
        *whole, self._rest = (self._rest + chunk).split(b"\n\n")
        for block in whole:
            name, data = "message", b""
            for line in block.split(b"\n"):
                field, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if field == b"event":
                    name = value.decode()
                elif field == b"data":
                    data += value
            if data:
                yield name, data


class LiveListener:
    """Follows `/v1/live` and measures, for every anomaly when it is first heard of, the time since its frames came.

    `received_at` is when the gateway took in the oldest frame of the group that showed the anomaly, so that waiting
    for the group counts. A sample is asked for in `/v1/anomalies` as soon as it was heard of.

    Attributes:
        latency: from receipt to arrival here.
        asked, seen: anomalies looked up, and those that the answer held.
        lookup: how long those answers took.
        dropped: times the platform closed the stream, since this client read too slowly or it restarted.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        """Listen at `url` with `key`, on a connection of `session`."""
        self.latency = LatencyHistogram()
        self.lookup = LatencyHistogram()
        self.heard = self.asked = self.seen = self.dropped = 0
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._known: set[str] = set()
        self._questions: set[asyncio.Task[None]] = set()
        self.listening = asyncio.Event()
        """Set once the stream has begun."""

    async def run(self) -> None:
        """Listen until cancelled; a stream that ends is opened again."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
        while True:
            async with self._session.get(f"{self._url}/v1/live", headers=self._headers, timeout=timeout) as answer:
                answer.raise_for_status()
                parser = EventParser()
                async for chunk in answer.content.iter_any():
                    self._take(parser.feed(chunk), time.time_ns() // 1000)
            self.dropped += 1

    async def close(self) -> None:
        """Wait for the questions that are under way."""
        await asyncio.gather(*self._questions)

    def summary(self) -> dict[str, Any]:
        """Everything measured, latencies in milliseconds."""
        return {
            "heard": self.heard,
            "live_ms": self.latency.summary_ms(),
            "asked": self.asked,
            "seen": self.seen,
            "lookup_ms": self.lookup.summary_ms(),
            "dropped": self.dropped,
        }

    def _take(self, events: Iterator[tuple[str, bytes]], now_us: int) -> None:
        self.listening.set()
        for name, data in events:
            if name != "anomaly":
                continue
            anomaly = orjson.loads(data)
            if anomaly["id"] in self._known:
                continue
            self._known.add(anomaly["id"])
            self.heard += 1
            self.latency.record((now_us - anomaly["received_at"]) * 1e-6)
            if len(self._questions) < _ASKED_AT_ONCE and self.asked < _MOST_ASKED:
                self.asked += 1
                question = asyncio.create_task(self._ask(anomaly))
                self._questions.add(question)
                question.add_done_callback(self._questions.discard)

    async def _ask(self, anomaly: dict[str, Any]) -> None:
        began = time.perf_counter()
        parameters = {"vehicle_id": anomaly["vehicle_id"]}
        address = f"{self._url}/v1/anomalies"
        async with self._session.get(address, params=parameters, headers=self._headers) as answer:
            found = orjson.loads(await answer.read())["anomalies"]
        self.lookup.record(time.perf_counter() - began)
        self.seen += any(one["id"] == anomaly["id"] for one in found)
