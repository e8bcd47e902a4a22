"""An asynchronous client of `POST /v1/frames` that keeps its connections, retries what is safe, and measures.

Re-sending a body is always safe: frames are identified by their content, so the server drops what it has. Latency
counts from when a body was due, not from when a connection was free for it: a server that stalls delays every body
that became due meanwhile, and all of those delays are seen (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from pipeline.errors import CanfleetError
from simulator.body import Body
from simulator.latency import LatencyHistogram

ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"
_LARGE: Final = 1 << 20
_RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Retry:
    """When to try again: waits double from `first_s` up to `longest_s`, halved by chance, for `give_up_s` in all."""

    first_s: float = 0.1
    longest_s: float = 5.0
    give_up_s: float = 60.0


@dataclass
class Results:
    """What happened to the frames handed to a sender.

    Attributes:
        requests, sent: bodies and frames handed over.
        acknowledged: frames of answered (202) bodies; accepted, duplicates, dead_lettered: the server's counts.
        refused: answers 429 and 503; retries: requests repeated for any reason.
        failed: frames given up; problem: why, the first time.
        latency: from due to acknowledged, each frame counted.
        round_trip: from the sending of the request that was acknowledged, likewise.
    """

    requests: int = 0
    sent: int = 0
    acknowledged: int = 0
    accepted: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    refused: int = 0
    retries: int = 0
    failed: int = 0
    problem: str | None = None
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    round_trip: LatencyHistogram = field(default_factory=LatencyHistogram)

    @property
    def complete(self) -> bool:
        """Whether everything sent was acknowledged."""
        return self.acknowledged == self.sent

    def as_json(self) -> dict[str, Any]:
        """Counts, and latencies in milliseconds."""
        counts = {name: value for name, value in vars(self).items() if not isinstance(value, LatencyHistogram)}
        return counts | {"latency_ms": self.latency.summary_ms(), "round_trip_ms": self.round_trip.summary_ms()}


class Sender:
    """Sends bodies over several connections. Use as `async with Sender(...) as sender`.

    After an answer that no retry can mend (a refused key, an unreadable body) it sends nothing more: `submit` and
    `finish` raise.
    """

    def __init__(
        self, url: str, key: str, *, connections: int = 4, waiting: int = 64, retry: Retry | None = None
    ) -> None:
        """Send to the platform at `url` with `key`; at most `waiting` bodies queue in memory for a connection."""
        self.results = Results()
        self._url = url.rstrip("/")
        self._key = key
        self._connections = connections
        self._retry = retry or Retry()
        self._queue: asyncio.Queue[tuple[Body, float, Callable[[], None] | None]] = asyncio.Queue(waiting)
        self._fatal: CanfleetError | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connections lazily, and start the workers."""
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": ARROW_STREAM},
            timeout=aiohttp.ClientTimeout(total=30, sock_connect=5),
        )
        self._workers = [asyncio.create_task(self._work(self._session)) for _ in range(self._connections)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what is still queued and close the connections; `finish` comes first where nothing may be dropped."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def check(self) -> None:
        """Ask whether anything answers at the URL.

        Raises:
            CanfleetError: nothing does, or the URL is none.
        """
        session = self._opened()
        try:
            async with session.get(f"{self._url}/healthz"):
                return
        except aiohttp.InvalidURL as error:
            raise CanfleetError(f"{self._url!r} is no URL: give one like http://127.0.0.1:8080") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CanfleetError(f"{self._url} does not answer ({error}): is `canfleet up` running there?") from error

    async def submit(self, body: Body, due: float | None = None, done: Callable[[], None] | None = None) -> None:
        """Queue a body, waiting while the queue is full.

        Args:
            body: what to send.
            due: when it should leave, on the event loop's clock; now, if None.
            done: called once it is acknowledged.

        Raises:
            CanfleetError: the server refused an earlier body for good.
        """
        if self._fatal is not None:
            raise self._fatal
        self.results.requests += 1
        self.results.sent += body.frames
        await self._queue.put((body, asyncio.get_running_loop().time() if due is None else due, done))

    async def finish(self) -> Results:
        """Wait until every body is acknowledged or given up.

        Raises:
            CanfleetError: the server refused a body for good.
        """
        await self._queue.join()
        if self._fatal is not None:
            raise self._fatal
        return self.results

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise CanfleetError("a Sender is used inside `async with`")
        return self._session

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            body, due, done = await self._queue.get()
            try:
                if self._fatal is None:
                    await self._deliver(session, body, due, done)
                else:
                    self.results.failed += body.frames
            finally:
                self._queue.task_done()

    async def _deliver(
        self, session: aiohttp.ClientSession, body: Body, due: float, done: Callable[[], None] | None
    ) -> None:
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._retry.give_up_s
        pause = self._retry.first_s
        while True:
            problem, wait = await self._attempt(lambda: self._post(session, body, due))
            if problem is None:
                if done is not None:
                    done()
                return
            # Half of the pause is chance, so that clients refused together do not come back together.
            wait = max(wait, pause * (0.5 + 0.5 * random.random()))
            pause = min(2 * pause, self._retry.longest_s)
            if self._fatal is not None or clock() + wait > give_up:
                self.results.failed += body.frames
                self.results.problem = self.results.problem or problem
                return
            self.results.retries += 1
            await asyncio.sleep(wait)

    async def _attempt(self, post: Callable[[], Awaitable[tuple[str | None, float]]]) -> tuple[str | None, float]:
        """(None, 0) when acknowledged, else the problem and the least wait; connection errors become problems."""
        try:
            return await post()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{self._url}: {error or type(error).__name__}", 0.0

    async def _post(self, session: aiohttp.ClientSession, body: Body, due: float) -> tuple[str | None, float]:
        # aiohttp copies a large bytes object in one go, which would stall the loop; a file object goes in pieces.
        data = io.BytesIO(body.content) if len(body.content) >= _LARGE else body.content
        headers = {"Content-Encoding": "zstd"} if body.zstd else None
        sent = asyncio.get_running_loop().time()
        async with session.post(f"{self._url}/v1/frames", data=data, headers=headers) as answer:
            text = await answer.read()
            if answer.status == 202:
                self._acknowledge(body, json.loads(text), due, sent)
                return None, 0.0
            problem = f"{self._url} answered {answer.status}: {_detail(text)}"
            if answer.status in (429, 503):
                self.results.refused += 1
            if answer.status not in _RETRIED:
                self._fatal = self._fatal or CanfleetError(problem)
            return problem, _retry_after(answer.headers.get("Retry-After"))

    def _acknowledge(self, body: Body, counts: dict[str, int], due: float, sent: float) -> None:
        results, now = self.results, asyncio.get_running_loop().time()
        results.acknowledged += body.frames
        results.accepted += counts.get("accepted", 0)
        results.duplicates += counts.get("duplicates", 0)
        results.dead_lettered += counts.get("dead_lettered", 0)
        results.latency.record(now - due, body.frames)
        results.round_trip.record(now - sent, body.frames)


def _detail(text: bytes) -> str:
    """The human part of a problem document, or the start of whatever came instead."""
    try:
        problem = json.loads(text)
        return str(problem.get("detail") or problem.get("title"))
    except (ValueError, AttributeError):
        return text[:200].decode(errors="replace").strip() or "no explanation"


def _retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for: a number or an HTTP date; 0 without one."""
    if value is None:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
