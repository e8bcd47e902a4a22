"""What a replica refuses because somebody sends too much, and how the replicas share each limit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol
from uuid import uuid4

from pipeline.keys.record import KeyRecord
from pipeline.lanes.lane import Lane
from pipeline.limits.limiter import Caller, Limiter
from pipeline.limits.settings import FrameUnit
from serve.platform import IntakePlatform
from serve.problems import ProblemError, rate_limited

SPEAK_S: Final = 0.5
"""How often a replica that is asked for limited things tells what it was asked for, and learns its shares."""
MIN_SPEAK_S: Final = 0.05
"""A refusal makes it ask for news first, so seldom at most."""
FORGET_S: Final = 10.0
_OTHERS: Final = 2
"""The replicas beside the gateways that take frames in: those of logs, and of queries."""


class _Ask(Protocol):
    def __call__(self, *, now: float, again: bool = ...) -> float: ...


def frame_unit(lane: Lane) -> FrameUnit:
    """What frames of `lane` count as."""
    return "backfill" if lane is Lane.BACKFILL else "frames"


_log: Final = logging.getLogger("canfleet.serve")


class RateLimits:
    """Decides from memory. The directory is told of demand behind the requests, and divides the limits by it.

    While the directory is away, every replica keeps the shares it has: the limits go on holding.
    """

    def __init__(self, platform: IntakePlatform, clock: Callable[[], float] = time.monotonic) -> None:
        """Limit what comes for `platform` as its configuration says."""
        self._platform = platform
        self._clock = clock
        self._limiter = Limiter(platform.config.rate_limits, platform.config.server.gateways + _OTHERS)
        self._name = uuid4().hex
        self._spoke_at = -1.0
        self._speak_at = 0.0
        self._forgot_at = clock()
        self._lock = asyncio.Lock()
        self._speaking: asyncio.Task[None] | None = None

    def caller(self, key: KeyRecord) -> Caller:
        """Whose limits hold for requests with `key`."""
        return self._limiter.of_key(key.id, key.fleet)

    async def request(self, caller: Caller, unit: FrameUnit) -> None:
        """Let a request in, whose frames will count as `unit`.

        Raises:
            ProblemError: 429, nothing of it was accepted.
        """
        if caller.all:
            now = self._clock()
            wait = self._limiter.ask(caller, now, unit)
            if wait > 0 or now >= self._speak_at:
                await self._decide(caller, wait, now, partial(self._limiter.ask, caller, unit=unit), "requests")

    async def frames(self, caller: Caller, n: int, unit: FrameUnit) -> None:
        """Let the `n` frames in of a request that was let in.

        Raises:
            ProblemError: 429, nothing of it was accepted.
        """
        if caller.levels[unit]:
            now = self._clock()
            wait = self._limiter.ask_frames(caller, n, now, unit)
            if wait > 0:
                await self._decide(caller, wait, now, partial(self._limiter.ask_frames, caller, n, unit=unit), "frames")

    def owe_frames(self, caller: Caller, n: int, unit: FrameUnit) -> None:
        """Count frames that are let in anyway."""
        self._limiter.owe_frames(caller, n, self._clock(), unit)

    async def stranger(self, address: str) -> None:
        """Let somebody without a valid key at `address` be told so.

        Raises:
            ProblemError: 429, too many came from there.
        """
        caller = self._limiter.of_address(_network(address))
        if caller.all:
            now = self._clock()
            wait = self._limiter.ask(caller, now)
            await self._decide(caller, wait, now, partial(self._limiter.ask, caller), "requests without a valid key")

    def headers(self, caller: Caller) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), where there are limits."""
        if not caller.all:
            return []
        left = self._limiter.left(caller, self._clock())
        return [(b"ratelimit-policy", caller.policy.encode()), (b"ratelimit", left.encode())]

    async def _decide(self, caller: Caller, wait: float, now: float, ask: _Ask, what: str) -> None:
        """Refuse what has to wait, but not before asking for news; and ask for news behind the others."""
        if wait > 0 and now - self._spoke_at >= MIN_SPEAK_S and any(limit.bucket.share < 1 for limit in caller.all):
            await self._speak(now)
            wait = ask(now=self._clock(), again=True)
        elif self._spoke_at < 0:
            # The first: without news it would take the smallest of shares for all there is.
            await self._speak(now)
        elif now >= self._speak_at and (self._speaking is None or self._speaking.done()):
            self._speaking = asyncio.create_task(self._speak(now))
        if wait > 0:
            raise ProblemError(rate_limited(what, wait))

    async def _speak(self, wanted: float) -> None:
        """Tell the directory of demand, and take its shares, as of `wanted` or later; callers share one call."""
        async with self._lock:
            if self._spoke_at >= wanted:
                return
            self._spoke_at = now = self._clock()
            self._speak_at = now + SPEAK_S
            try:
                replicas, shares = await self._platform.divide(self._name, self._limiter.demand())
            except Exception as error:  # noqa: BLE001 (limits go on holding with the shares as they are)
                _log.warning("rate limits keep their shares, the directory does not answer: %s", error)
                return
            self._limiter.tell(replicas, shares, now)
            if now - self._forgot_at >= FORGET_S:
                self._forgot_at = now
                self._limiter.forget(now)


def _network(address: str) -> str:
    """What counts as one address: an IPv6 network of 64 bits, since one subscriber has all of it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address
