"""Who is calling: the replica's key ring, kept fresh, and the check each request passes first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import Final

from pipeline.keys.record import KeyRecord, Scope
from pipeline.keys.ring import KeyRing
from pipeline.limits.limiter import Caller
from pipeline.privacy.pseudonyms import Pseudonyms
from serve.asgi import Request
from serve.platform import IntakePlatform
from serve.problems import ProblemError, forbidden, other_vehicle, unauthenticated
from serve.rate_limits import RateLimits

_log: Final = logging.getLogger("canfleet.serve")

REFRESH_S: Final = 0.25
"""A ring older than this is refreshed behind the requests that go on using it."""
WAIT_S: Final = 1.0
"""A ring older than this makes requests wait for the refresh: a revoked key opens no door later than this."""
PATIENCE_S: Final = 0.5
"""So long they wait where no answer comes, all together: a key store that hangs is then one that is away."""
STALE_S: Final = 60.0
"""How long the known keys go on working while the key store is away."""
MIN_REFRESH_S: Final = 0.05
"""Refreshes are at least this far apart, so that guessing keys costs the platform nothing."""

caller: Final[ContextVar[KeyRecord | None]] = ContextVar("caller", default=None)
"""Whose request this task serves, once it is known: for the access log, which stands around the application."""
TELL_USES_S: Final = 5.0
"""How long uses of keys are gathered before the store is told of them."""


class Access:
    """Authenticates requests from memory; the platform is asked for news a few times a second."""

    def __init__(self, platform: IntakePlatform, rates: RateLimits) -> None:
        """Know no key yet: the first request waits for them. `rates` bounds those without a valid key."""
        self._platform = platform
        self._rates = rates
        self._ring = KeyRing()
        self._version = -1
        self._fresh_at = float("-inf")
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self._asked_at = 0.0
        self._used: dict[str, int] = {}
        self._telling: asyncio.Task[None] | None = None

    async def admit(self, request: Request) -> tuple[KeyRecord, Caller]:
        """Who sends frames with `request`, and whose limits hold; its answer will say what is left of them.

        Raises:
            ProblemError: as `authenticate` with scope `ingest`.
        """
        key = await self.authenticate(
            request.header(b"authorization"), request.header(b"x-api-key"), request.address, "ingest"
        )
        caller = self._rates.caller(key)
        request.rate_headers = partial(self._rates.headers, caller)
        return key, caller

    async def authenticate(
        self, authorization: str | None, api_key: str | None, address: str, scope: Scope
    ) -> KeyRecord:
        """The caller's key record, from the two headers that may carry a key.

        Raises:
            ProblemError: 401 without a valid key, 429 where many such came from its address; 403 without `scope`.
        """
        record = await self.identify(authorization, api_key, address)
        if scope not in record.scopes:
            raise ProblemError(forbidden(scope))
        return record

    async def identify(self, authorization: str | None, api_key: str | None, address: str) -> KeyRecord:
        """The caller's key record, whatever it may do.

        A key the ring does not know makes it refresh first, so a key works at once after it was made.

        Raises:
            ProblemError: 401 without a valid key, 429 where many such came from its address.
        """
        presented = api_key if authorization is None else _bearer(authorization)
        if not presented:
            await self._rates.stranger(address)
            raise ProblemError(unauthenticated())
        await self._keep_fresh()
        record = self._ring.verify(presented, time.time_ns() // 1000)
        if record is None:
            await self._refresh(time.monotonic())
            record = self._ring.verify(presented, time.time_ns() // 1000)
        if record is None:
            # Only now: a key that was made a moment ago is no stranger's, and refreshes are bounded by themselves.
            await self._rates.stranger(address)
            raise ProblemError(unauthenticated())
        caller.set(record)
        self._note_use(record.id)
        return record

    def _note_use(self, key_id: str) -> None:
        self._used[key_id] = time.time_ns() // 1000
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_uses())

    async def _tell_uses(self) -> None:
        await asyncio.sleep(TELL_USES_S)
        used, self._used = self._used, {}
        try:
            await self._platform.note_uses(used)
        except Exception as error:  # noqa: BLE001 (it is told again with the next use)
            _log.warning("when keys were last used is not noted: %s", error)

    async def _keep_fresh(self) -> None:
        now = time.monotonic()
        age = now - self._fresh_at
        if age < REFRESH_S:
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh_behind(now))
            self._asked_at = now
        if age < WAIT_S:
            return
        # Without any key there is nothing to go on with.
        patience_s = max(0.0, self._asked_at + PATIENCE_S - now) if age < STALE_S else None
        await asyncio.wait([self._refreshing], timeout=patience_s)
        if self._fresh_at < now - STALE_S:
            await self._refresh(now)  # which says why not

    async def _refresh_behind(self, wanted: float) -> None:
        try:
            await self._refresh(wanted)
        except Exception as error:  # noqa: BLE001 (a request past STALE_S meets the same error and answers it)
            age_s = min(wanted - self._fresh_at, STALE_S)
            _log.warning("the key store is away; keys known %.0f s ago go on working: %s", age_s, error)

    async def _refresh(self, wanted: float) -> None:
        """Have the ring be as of `wanted` (monotonic seconds) or later; callers at one time share one refresh."""
        async with self._lock:
            if self._fresh_at >= wanted:
                return
            await asyncio.sleep(max(0.0, self._fresh_at + MIN_REFRESH_S - time.monotonic()))
            asked = time.monotonic()
            news = await self._platform.keys(self._version)
            self._fresh_at = asked
            if news is not None:
                self._version, records = news
                self._ring = KeyRing(records)


def check_vehicles(key: KeyRecord, vehicle_ids: Iterable[str], pseudonyms: Pseudonyms) -> None:
    """Refuse a request with frames of a vehicle that `key` is not bound to, by its id or by its pseudonym.

    Raises:
        ProblemError: 403.
    """
    foreign = key.foreign_vehicle(vehicle_ids, partial(pseudonyms.of, key.fleet))
    if foreign is not None:
        raise ProblemError(other_vehicle(foreign))


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
