"""A client as vehicles have one: it retries three times, remembers what was acknowledged, and sends the rest later."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Final

import aiohttp
import numpy as np
import orjson

from pipeline.types import I64, Bools
from simulator.sender import ARROW_STREAM
from tests.chaos.traffic import FLEETS, Body, Traffic

BACKOFF_S: Final = (2.0, 8.0, 32.0)
"""Waits before the retries; each longer or shorter by up to a quarter, by chance, and at least `Retry-After`.

Together they outlast a restart of the whole platform, some 20 s, as a client that gives up after three should."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=3)
_LATER_S: Final = 2.0
_SENDERS_LATER: Final = 4


@dataclass(slots=True)
class Sent:
    """A request, since it was sent first.

    Attributes:
        number, skew_us: name its frames, see `Traffic.body`.
        rows, bad: see `Body`.
        began_s: when it was sent first, on the loop's clock.
        attempts: of the first sending, with its retries.
        in_time: acknowledged within the retries.
        acknowledged: by now.
    """

    number: int
    skew_us: int
    rows: int
    bad: int
    began_s: float
    attempts: int = 0
    in_time: bool = False
    acknowledged: bool = False


class Client:
    """Sends requests over HTTP. Use as `async with`.

    Attributes:
        requests: all of them, by number.
        acknowledgements: (begin, end) of every attempt that was acknowledged, on the loop's clock, as they ended.
        answers: how often each status, or kind of failure, was met.
        wrong_receipts: acknowledgements whose counts do not add up to the rows sent.
        sent_again: acknowledged requests that were sent once more on purpose.
    """

    def __init__(self, url: str, keys: list[str], traffic: Traffic, seed: int) -> None:
        """`keys` are those of FLEETS, in their order."""
        assert len(keys) == len(FLEETS)
        self._url = f"{url}/v1/frames"
        self._headers = [{"Authorization": f"Bearer {key}", "Content-Type": ARROW_STREAM} for key in keys]
        self._traffic = traffic
        self._random = random.Random(seed)
        self._later: asyncio.Queue[Sent] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self.requests: list[Sent] = []
        self.acknowledgements: list[tuple[float, float]] = []
        self.answers: Counter[str] = Counter()
        self.wrong_receipts = 0
        self.sent_again = 0

    async def __aenter__(self) -> Client:
        """Begin to send later what failed."""
        # Without a limit: requests must not wait for each other, or one that hangs delays those behind it.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=_TIMEOUT)
        self._workers = [asyncio.create_task(self._send_later()) for _ in range(_SENDERS_LATER)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop; what is not acknowledged stays so."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._session.close()

    async def send(self, skew_us: int) -> Sent:
        """Send the next request, with its retries; where all fail, it is sent again later."""
        number = len(self.requests)
        body = self._traffic.body(number, skew_us)
        sent = Sent(number, skew_us, body.rows, body.bad, asyncio.get_running_loop().time())
        self.requests.append(sent)
        for backoff_s in (*BACKOFF_S, None):
            sent.attempts += 1
            retry_after_s = await self._attempt(sent, body)
            if sent.acknowledged:
                sent.in_time = True
                return sent
            if backoff_s is not None:
                await asyncio.sleep(max(retry_after_s, backoff_s * self._random.uniform(0.75, 1.25)))
        self._later.put_nowait(sent)
        return sent

    async def send_again(self, sent: Sent) -> None:
        """Send an acknowledged request once more, whatever comes of it."""
        self.sent_again += 1
        await self._attempt(sent, self._traffic.body(sent.number, sent.skew_us))

    @property
    def unsettled(self) -> int:
        """Requests that are not acknowledged."""
        return sum(not sent.acknowledged for sent in self.requests)

    def acknowledged(self) -> Bools:
        """bool[requests]."""
        return np.array([sent.acknowledged for sent in self.requests], np.bool_)

    def skews_us(self) -> I64:
        """int64[requests]."""
        return np.array([sent.skew_us for sent in self.requests], np.int64)

    def recovered_s(self, began: float, struck: float) -> float | None:
        """Seconds from `began` to the first acknowledgement of an attempt that began after `struck`, None: never.

        A request has frames of hundreds of vehicles, so that every shard must acknowledge its part.
        """
        return next((end - began for begin, end in self.acknowledgements if begin > struck), None)

    async def _send_later(self) -> None:
        while True:
            sent = await self._later.get()
            while not sent.acknowledged:
                body = self._traffic.body(sent.number, sent.skew_us)
                retry_after_s = await self._attempt(sent, body)
                if not sent.acknowledged:
                    await asyncio.sleep(max(retry_after_s, _LATER_S))

    async def _attempt(self, sent: Sent, body: Body) -> float:
        """One POST; the seconds that the server asks to wait."""
        began = asyncio.get_running_loop().time()
        headers = self._headers[sent.number % len(FLEETS)]
        try:
            async with self._session.post(self._url, data=body.content, headers=headers) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.answers[type(error).__name__] += 1
            return 0.0
        self.answers[str(answer.status)] += 1
        if answer.status == 202:
            sent.acknowledged = True
            self.acknowledgements.append((began, asyncio.get_running_loop().time()))
            self._check_receipt(orjson.loads(content), body)
        return float(answer.headers.get("Retry-After", 0))

    def _check_receipt(self, receipt: dict[str, int], body: Body) -> None:
        parts = receipt["accepted"] + receipt["duplicates"] + receipt["dead_lettered"]
        right = receipt["received"] == parts == body.rows and receipt["dead_lettered"] == body.bad
        self.wrong_receipts += not right
