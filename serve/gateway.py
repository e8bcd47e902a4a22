"""The gateway: `POST /v1/frames`, from a socket to frames that are durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Final

from pipeline.errors import Overloaded
from pipeline.frames.body import ARROW, JSON, NDJSON, ParsedBody, read_body
from pipeline.frames.many import CutBody, cut_body
from pipeline.keys.record import KeyRecord
from pipeline.lanes.lane import Lane
from pipeline.limits.limiter import Caller
from pipeline.priority import background_pool
from pipeline.submission import Counts
from serve.access import Access, check_vehicles
from serve.asgi import PostEndpoint, Request
from serve.budget import ByteBudget
from serve.coalesce import SMALL_BYTES, Coalescer
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
        self._coalescer = Coalescer(self._intake, self._limits)
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
            small = None if backfill else _small(request, body)
            if small is not None:
                counts = await self._take_small(request, key, caller, small, received_at)
                if counts is not None:
                    return asdict(counts)
            parsed = await self._parse(request, body, received_at)
            lane = Lane.BACKFILL if backfill else self._intake.lane(parsed.frames, received_at)
            if lane is not Lane.CRITICAL:
                held.leave_reserve()
            if key.vehicles:
                check_vehicles(key, parsed.frames.column("vehicle_id").dictionary.to_pylist())
            n = parsed.frames.num_rows + parsed.rejected.num_rows
            if small is None:
                await self._rates.frames(caller, n, frame_unit(lane))
            origin = Origin(key.fleet, received_at, request.id, request.traceparent)
            try:
                return asdict(await self._intake.take(origin, lane, parsed.frames, parsed.rejected))
            except Overloaded:
                self.on_refused_frames(parsed.frames.num_rows)
                raise

    async def _take_small(
        self, request: Request, key: KeyRecord, caller: Caller, body: CutBody, received_at: int
    ) -> Counts | None:
        """Take a small body in together with others; None where it must be taken alone, its frames counted already."""
        await self._rates.frames(caller, len(body), "frames")
        try:
            return await self._coalescer.take(key, body, request.id, received_at)
        except Overloaded:
            self.on_refused_frames(len(body))
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


def _small(request: Request, body: bytes) -> CutBody | None:
    """The body cut into its rows where it can share a submission: small, plain text, without a trace of its own."""
    if len(body) > SMALL_BYTES or b"content-encoding" in request.headers or request.traceparent is not None:
        return None
    media_type = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    return cut_body(body, is_list=media_type == JSON) if media_type in (JSON, NDJSON) else None


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
