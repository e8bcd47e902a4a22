"""The gateway: `POST /v1/frames`, from a socket to frames that are durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Final

from pipeline.errors import Overloaded
from pipeline.frames.body import ARROW, ParsedBody, read_body
from pipeline.lanes.lane import Lane
from pipeline.priority import background_pool
from serve.access import Access, check_vehicles
from serve.asgi import PostEndpoint, Request
from serve.budget import ByteBudget
from serve.intake import Intake, Origin
from serve.platform import IntakePlatform
from serve.problems import ProblemError, bad_request
from serve.rate_limits import RateLimits, frame_unit

INLINE_BYTES: Final = 256 << 10
"""Plain Arrow bodies up to this size are parsed on the event loop: handing them to a thread costs more."""
INLINE_TEXT_BYTES: Final = 4 << 10
"""The same for JSON and for compressed bodies, which cost far more a byte."""
WAITING_BYTES: Final = 4 << 20
"""Bodies above `INLINE_BYTES` that wait to be parsed; what comes beyond gets 503, before any work is spent on it."""
HELD_BYTES: Final = 512 << 20
"""Bodies one replica holds at a time; what comes beyond gets 503."""
RESERVE_BYTES: Final = HELD_BYTES // 4
"""Bodies it holds on top of that while it learns whether they are critical, and those that are."""


class FramesEndpoint(PostEndpoint):
    """Takes frames in any of the contract's formats."""

    path = "/v1/frames"

    def __init__(self, platform: IntakePlatform) -> None:
        """Take frames in for `platform`, within its configured limits."""
        super().__init__(ByteBudget(HELD_BYTES, RESERVE_BYTES))
        self._limits = platform.config.limits
        self._rates = RateLimits(platform)
        self._access = Access(platform, self._rates)
        self._intake = Intake(platform)
        self._parsers = background_pool("parse")
        self._waiting = ByteBudget(WAITING_BYTES)

    async def post(self, request: Request) -> Mapping[str, object]:
        """Authenticate, limit, read, parse, submit."""
        key = await self._access.authenticate(
            request.header(b"authorization"), request.header(b"x-api-key"), request.address, "ingest"
        )
        backfill = declared_backfill(request)
        caller = self._rates.caller(key)
        request.rate_headers = partial(self._rates.headers, caller)
        await self._rates.request(caller, "backfill" if backfill else "frames")
        bound = self._limits.max_body_bytes
        declared = request.declared_length(bound)
        if declared > INLINE_BYTES and b"content-length" in request.headers:
            self._admit_large(declared)
        with self.budget.hold(declared) as held:
            body = await request.body(bound)
            received_at = time.time_ns() // 1000
            parsed = await self._parse(request, body, received_at)
            lane = Lane.BACKFILL if backfill else self._intake.lane(parsed.frames, received_at)
            if lane is not Lane.CRITICAL:
                held.leave_reserve()
            if key.vehicles:
                check_vehicles(key, parsed.frames.column("vehicle_id").dictionary.to_pylist())
            n = parsed.frames.num_rows + parsed.rejected.num_rows
            await self._rates.frames(caller, n, frame_unit(lane))
            origin = Origin(key.fleet, received_at, request.id, request.traceparent)
            try:
                return asdict(await self._intake.take(origin, lane, parsed.frames, parsed.rejected))
            except Overloaded:
                self.on_refused_frames(parsed.frames.num_rows)
                raise

    async def _parse(self, request: Request, body: bytes, now: int) -> ParsedBody:
        content_type = request.header(b"content-type") or ""
        encoding = request.header(b"content-encoding")
        cheap = INLINE_BYTES if encoding is None and content_type.startswith(ARROW) else INLINE_TEXT_BYTES
        if len(body) <= cheap:
            return read_body(body, content_type, encoding, self._limits, now)
        if len(body) <= INLINE_BYTES:
            return await asyncio.to_thread(read_body, body, content_type, encoding, self._limits, now)
        self._admit_large(len(body))
        with self._waiting.hold(len(body)):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._parsers, read_body, body, content_type, encoding, self._limits, now)

    def _admit_large(self, n_bytes: int) -> None:
        """Refuse a large body before work is spent on it. It is hardly critical, and it concerns every shard.

        Raises:
            Overloaded: a shard has no room for live requests, or too many large bodies wait to be parsed.
        """
        self._intake.admit_anywhere(Lane.LIVE)
        self._waiting.check(self._waiting.used, n_bytes, self._waiting.total)


def declared_backfill(request: Request) -> bool:
    """Whether the caller asks for the backfill lane, with the header `X-Canfleet-Lane: backfill`.

    Raises:
        ProblemError: 400, it asks for another.
    """
    lane = request.headers.get(b"x-canfleet-lane")
    if lane is None:
        return False
    if lane.lower() != b"backfill":
        raise ProblemError(
            bad_request("`X-Canfleet-Lane` can only be `backfill`: other lanes are told from the frames")
        )
    return True
