"""From the bytes of one message to frames that are durable: limited, read, checked, given to their shards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from pipeline.errors import Overloaded
from pipeline.frames.body import ARROW, JSON, NDJSON, ParsedBody, read_body
from pipeline.frames.many import CutBody, cut_body
from pipeline.keys.record import KeyRecord
from pipeline.lanes.lane import Lane
from pipeline.limits.limiter import Caller
from pipeline.limits.settings import FrameUnit
from pipeline.priority import background_pool
from pipeline.submission import Counts
from pipeline.tracing.tracing import Attributes, traceparent_of, tracing_of
from serve.access import check_vehicles
from serve.budget import ByteBudget, Held
from serve.coalesce import SMALL_BYTES, Coalescer
from serve.dead_letter_room import DeadLetterRoom
from serve.intake import Intake, Origin
from serve.platform import IntakePlatform
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


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: a valid key, the limits that hold for it, and whether it asked for the backfill lane."""

    key: KeyRecord
    caller: Caller
    backfill: bool

    @property
    def unit(self) -> FrameUnit:
        """What its frames count as, as long as nobody has looked at them."""
        return "backfill" if self.backfill else "frames"


@dataclass(frozen=True, slots=True)
class Message:
    """What was sent: a body with its type and encoding, when it came (µs), its request id, and its trace context.

    `began_at` (µs) is when its request did, whose body may have taken long to come; None where that is one moment.
    """

    body: bytes
    content_type: str | None
    encoding: str | None
    received_at: int
    request_id: str
    traceparent: str | None = None
    began_at: int | None = None


class Taker:
    """Takes messages for `/v1/frames` and for `/v1/stream`, so that the same bounds hold for both."""

    def __init__(self, platform: IntakePlatform, rates: RateLimits) -> None:
        """Take frames in for `platform`, within its configured limits and `rates`."""
        self._limits = platform.config.limits
        self._rates = rates
        self._intake = Intake(platform)
        self._pseudonyms = platform.pseudonyms
        self._coalescer = Coalescer(self._intake, self._limits, self._pseudonyms)
        self._tracing = tracing_of(platform.config.tracing)
        self._parsers = background_pool("parse")
        self._waiting = ByteBudget(WAITING_BYTES)
        self.budget: Final = ByteBudget(HELD_BYTES, RESERVE_BYTES)
        """Bodies in memory at one time."""
        self.on_refused_frames: Callable[[int], None] = lambda frames: None
        """Told how many frames were parsed and then refused for want of room."""

    @property
    def room(self) -> DeadLetterRoom:
        """What it knows of the fleets' dead letters."""
        return self._intake.room

    @property
    def max_body_bytes(self) -> int:
        """Bytes of the largest body that is taken."""
        return self._limits.max_body_bytes

    async def take(self, sender: Sender, message: Message, held: Held) -> Counts:
        """Make the frames of `message` durable. `held` are its bytes in `budget`.

        Raises:
            CanfleetError: refused; nothing was accepted, or sending it again is safe.
            TimeoutError: a shard did not answer.
        """
        if not self._tracing.begins(message.traceparent):
            return await self._take(sender, message, held)
        attributes: Attributes = {
            "canfleet.fleet": sender.key.fleet,
            "canfleet.request_id": message.request_id,
            "canfleet.bytes": len(message.body),
        }
        began_ns = (message.began_at or message.received_at) * 1000
        with self._tracing.span("receive", message.traceparent, attributes, began_ns=began_ns, server=True) as span:
            span.add_event("body", timestamp=message.received_at * 1000)
            counts = await self._take(sender, replace(message, traceparent=traceparent_of(span)), held)
            span.set_attribute("canfleet.frames", counts.received)
            return counts

    async def _take(self, sender: Sender, message: Message, held: Held) -> Counts:
        small = None if sender.backfill else _small(message)
        if small is not None:
            counts = await self._take_small(sender, message, small, held)
            if counts is not None:
                return counts
        parsed = await self._parse(message, sender.key.fleet)
        lane = Lane.BACKFILL if sender.backfill else self._intake.lane(parsed.frames, message.received_at)
        if lane is not Lane.CRITICAL:
            held.leave_reserve()
        if sender.key.vehicles:
            check_vehicles(sender.key, parsed.frames.column("vehicle_id").dictionary.to_pylist(), self._pseudonyms)
        if small is None:
            await self._rates.frames(sender.caller, parsed.received, frame_unit(lane))
        origin = Origin(sender.key.fleet, message.received_at, message.request_id, message.traceparent)
        try:
            frames = self._pseudonyms.frames(sender.key.fleet, parsed.frames)
            return await self._intake.take(origin, lane, frames, parsed.rejected)
        except Overloaded:
            self.on_refused_frames(parsed.frames.num_rows)
            raise

    def admit_large(self, n_bytes: int) -> None:
        """Refuse a large body before work is spent on it. It is hardly critical, and it concerns every shard.

        Raises:
            Overloaded: a shard has no room for live requests, or too many large bodies wait to be parsed.
        """
        if n_bytes > INLINE_BYTES:
            self._intake.admit_anywhere(Lane.LIVE)
            self._waiting.check(self._waiting.used, n_bytes, self._waiting.total)

    async def _take_small(self, sender: Sender, message: Message, body: CutBody, held: Held) -> Counts | None:
        """Take a small body in together with others; None where it must be taken alone, its frames counted already."""
        await self._rates.frames(sender.caller, len(body), "frames")
        try:
            return await self._coalescer.take(sender.key, body, held, message.request_id, message.received_at)
        except Overloaded:
            self.on_refused_frames(len(body))
            raise

    async def _parse(self, message: Message, fleet: str) -> ParsedBody:
        content_type, size = message.content_type or "", len(message.body)
        arguments = (fleet, message.body, content_type, message.encoding, message.received_at)
        plain_arrow = message.encoding is None and content_type.startswith(ARROW)
        if size <= (INLINE_BYTES if plain_arrow else INLINE_TEXT_BYTES):
            return self._read(*arguments)
        if size <= INLINE_BYTES:
            return await asyncio.to_thread(self._read, *arguments)
        self.admit_large(size)
        with self._waiting.hold(size):
            return await asyncio.get_running_loop().run_in_executor(self._parsers, self._read, *arguments)

    def _read(self, fleet: str, body: bytes, content_type: str, encoding: str | None, received_at: int) -> ParsedBody:
        """The rows of a body; those rejected with pseudonyms, the good ones with the ids that a key may be bound to."""
        parsed = read_body(body, content_type, encoding, self._limits, received_at)
        return replace(parsed, rejected=self._pseudonyms.letters(fleet, parsed.rejected))


def _small(message: Message) -> CutBody | None:
    """The body cut into its rows where it can share a submission: small, plain text, without a trace of its own."""
    if len(message.body) > SMALL_BYTES or message.encoding is not None or message.traceparent is not None:
        return None
    media_type = (message.content_type or "").partition(";")[0].strip().lower()
    return cut_body(message.body, is_list=media_type == JSON) if media_type in (JSON, NDJSON) else None
