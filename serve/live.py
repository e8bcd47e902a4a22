"""The live feed: one long poll to the platform per replica, fanned out to every subscriber as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Final

import orjson

from serve.platform import Platform

_log: Final = logging.getLogger("canfleet.serve")

QUEUED_BYTES: Final = 4 << 20
"""How far one subscriber may lag behind before it is dropped. What happens at one moment never drops it: when a whole
fleet goes silent, that is thousands of anomalies, and nobody was slow."""
POLL_S: Final = 10.0
SUMMARY_S: Final = 1.0
HEARTBEAT_S: Final = 5.0
RETRY_S: Final = 0.5

_DROPPED: Final = b": dropped, since this client read too slowly; connect again\n\n"


def event(name: str, data: object) -> bytes:
    """One server-sent event with JSON data; NaN and infinities become null."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


class Subscriber:
    """One listener's bounded queue."""

    def __init__(self, fleet: str) -> None:
        """Listen to `fleet`."""
        self.fleet = fleet
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._queued_bytes = 0
        self._dropped = False

    def put(self, message: bytes) -> None:
        """Queue what happened at one moment; a full queue marks the subscriber as dropped instead of growing."""
        if self._queued_bytes > QUEUED_BYTES:
            self._dropped = True
            return
        self._queued_bytes += len(message)
        self._queue.put_nowait(message)

    async def messages(self) -> AsyncIterator[bytes]:
        """What is queued, joined; a heartbeat comment when nothing comes. Ends when dropped."""
        while not self._dropped:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    chunks = [await self._queue.get()]
            except TimeoutError:
                yield b": alive\n\n"
                continue
            while not self._queue.empty():
                chunks.append(self._queue.get_nowait())
            self._queued_bytes = 0
            yield b"".join(chunks)
        yield _DROPPED


class LiveFeed:
    """Feeds all subscribers of a replica. Its two tasks run only while somebody listens."""

    def __init__(self, platform: Platform) -> None:
        """Be idle until somebody listens."""
        self._platform = platform
        self._subscribers: set[Subscriber] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def stream(self, fleet: str, first: bytes) -> AsyncIterator[bytes]:
        """The bytes of one connection: `first`, then events of `fleet` until the client goes or is dropped."""
        subscriber = Subscriber(fleet)
        self._subscribers.add(subscriber)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._anomalies()), asyncio.create_task(self._summaries())]
        try:
            yield b"retry: 2000\n\n" + first
            async for message in subscriber.messages():
                yield message
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers:
                for task in self._tasks:
                    task.cancel()
                self._tasks = []

    async def _anomalies(self) -> None:
        cursors: dict[int, int] = {}
        while True:
            try:
                cursors, anomalies = await self._platform.events(cursors, POLL_S)
            except Exception as error:  # noqa: BLE001 (an actor that restarts; the feed goes on when it is back)
                _log.warning("the live feed lost the platform, trying again: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            by_fleet: defaultdict[str, list[bytes]] = defaultdict(list)
            for anomaly in anomalies:
                by_fleet[anomaly["fleet"]].append(event("anomaly", anomaly))
            for fleet, events in by_fleet.items():
                self._publish(fleet, b"".join(events))

    async def _summaries(self) -> None:
        while True:
            await asyncio.sleep(SUMMARY_S)
            for fleet in {subscriber.fleet for subscriber in self._subscribers}:
                try:
                    summary = await self._platform.summary(fleet)
                except Exception as error:  # noqa: BLE001 (as above: the next second asks again)
                    _log.warning("no summary of fleet %s for the live feed: %s", fleet, error)
                    continue
                self._publish(fleet, event("summary", summary))

    def _publish(self, fleet: str, message: bytes) -> None:
        for subscriber in self._subscribers:
            if subscriber.fleet == fleet:
                subscriber.put(message)
