"""The gateway: `POST /v1/frames`, from a socket to frames that are durable."""

from __future__ import annotations

import time

from serve.access import Access
from serve.asgi import PostEndpoint, Request
from serve.platform import IntakePlatform
from serve.problems import ProblemError, bad_request
from serve.rate_limits import RateLimits
from serve.taking import Message, Sender, Taker


class FramesEndpoint(PostEndpoint):
    """Takes frames in any of the contract's formats."""

    path = "/v1/frames"

    def __init__(self, door: Door) -> None:
        """Take in what comes by `door`."""
        super().__init__(door.taker.budget)
        self._door = door
        self._door.taker.on_refused_frames = self._tell_refused

    async def post(self, request: Request) -> object:
        """Authenticate, limit, read, parse, submit."""
        taker = self._door.taker
        sender = await self._door.sender(request)
        await self._door.rates.request(sender.caller, sender.unit)
        declared = request.declared_length(taker.max_body_bytes)
        if b"content-length" in request.headers:
            taker.admit_large(declared)
        with self.budget.hold(declared) as held:
            message = Message(
                await request.body(taker.max_body_bytes),
                request.header(b"content-type"),
                request.header(b"content-encoding"),
                time.time_ns() // 1000,
                request.id,
                request.traceparent,
                request.began_at,
            )
            return await taker.take(sender, message, held)

    def _tell_refused(self, frames: int) -> None:
        self.on_refused_frames(frames)


class Door:
    """What one replica knows of keys and limits, for all that come in by it."""

    def __init__(self, platform: IntakePlatform) -> None:
        """Stand before `platform`."""
        self.rates = RateLimits(platform)
        self.access = Access(platform, self.rates)
        self.taker = Taker(platform, self.rates)

    async def sender(self, request: Request) -> Sender:
        """Who sends `request`, which carries a key with scope `ingest`.

        Raises:
            ProblemError: 401, 403, 429 as `Access.authenticate`; 400, it asks for an unknown lane.
        """
        key, caller = await self.access.admit(request)
        return Sender(key, caller, declared_backfill(request))


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
