"""What a replica refuses because somebody sends too much, and how the replicas share each limit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final
from uuid import uuid4

from pipeline.keys.record import KeyRecord
from pipeline.limits.limiter import Caller, Limiter
from serve.platform import IntakePlatform
from serve.problems import ProblemError, rate_limited

SPEAK_S: Final = 0.5
"""How often a replica that is asked for limited things tells what it was asked for, and learns its shares."""
MIN_SPEAK_S: Final = 0.05
"""A refusal makes it ask for news first, so seldom at most."""
FORGET_S: Final = 10.0
_OTHERS: Final = 2
"""The replicas beside the gateways that take frames in: those of logs, and of queries."""

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
        self._forgot_at = clock()
        self._lock = asyncio.Lock()
        self._speaking: asyncio.Task[None] | None = None

    def caller(self, key: KeyRecord) -> Caller:
        """Whose limits hold for requests with `key`."""
        return self._limiter.of_key(key.id, key.fleet)

    async def request(self, caller: Caller, *, backfill: bool = False) -> None:
        """Let a request in.

        Raises:
            ProblemError: 429, nothing of it was accepted.
        """
        if caller.all:
            limiter = self._limiter
            await self._ask(
                caller, lambda now, again: limiter.ask(caller, now, backfill=backfill, again=again), "requests"
            )

    async def frames(self, caller: Caller, n: int, *, backfill: bool) -> None:
        """Let the `n` frames in of a request that was let in.

        Raises:
            ProblemError: 429, nothing of it was accepted.
        """
        if caller.frames_of(backfill=backfill):
            limiter = self._limiter
            await self._ask(
                caller, lambda now, again: limiter.ask_frames(caller, n, now, backfill=backfill, again=again), "frames"
            )

    def owe_frames(self, caller: Caller, n: int, *, backfill: bool) -> None:
        """Count frames that are let in anyway."""
        self._limiter.owe_frames(caller, n, self._clock(), backfill=backfill)

    async def stranger(self, address: str) -> None:
        """Let somebody without a valid key at `address` be told so.

        Raises:
            ProblemError: 429, too many came from there.
        """
        caller = self._limiter.of_address(_network(address))
        if caller.all:
            await self._ask(
                caller, lambda now, again: self._limiter.ask(caller, now, again=again), "requests without a valid key"
            )

    def headers(self, caller: Caller) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), where there are limits."""
        if not caller.all:
            return []
        left = self._limiter.left(caller, self._clock())
        return [(b"ratelimit-policy", caller.policy.encode()), (b"ratelimit", left.encode())]

    async def _ask(self, caller: Caller, ask: Callable[[float, bool], float], what: str) -> None:
        now = self._clock()
        if self._spoke_at < 0:  # never: a replica that knows of no other has more than its first share
            await self._speak(now)
        wait = ask(now, False)
        if wait > 0 and now - self._spoke_at >= MIN_SPEAK_S and any(limit.bucket.share < 1 for limit in caller.all):
            await self._speak(now)
            wait = ask(self._clock(), True)
        elif now - self._spoke_at >= SPEAK_S and (self._speaking is None or self._speaking.done()):
            self._speaking = asyncio.create_task(self._speak(now))
        if wait > 0:
            raise ProblemError(rate_limited(what, wait))

    async def _speak(self, wanted: float) -> None:
        """Tell the directory of demand, and take its shares, as of `wanted` or later; callers share one call."""
        async with self._lock:
            if self._spoke_at >= wanted:
                return
            self._spoke_at = now = self._clock()
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
