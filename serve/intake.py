"""From validated frames to durable ones: split by shard, admit, submit everywhere at once, add up."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa

from pipeline.decode.databases import load_catalogue
from pipeline.errors import PartitionAway
from pipeline.frames.split import select
from pipeline.lanes.classify import Classifier
from pipeline.lanes.lane import Lane
from pipeline.partitioning import partition_of
from pipeline.priority import background_pool
from pipeline.submission import Counts, Submission, encode
from pipeline.types import I32, I64, U8, Bools
from serve.dead_letter_room import DeadLetterRoom
from serve.platform import IntakePlatform, Layout, SubmitResult

SUBMIT_TIMEOUT_S: Final = 30.0
"""A shard that has not committed by then counts as away; the client may send again."""

_INLINE_BYTES: Final = 32 << 10
"""Batches up to this size are encoded on the event loop; larger ones are compressed, which takes a millisecond."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where frames came from: fleet, time of receipt (µs), request id, W3C trace context.

    `verify`: see `Submission`.
    """

    fleet: str
    received_at: int
    request_id: str
    traceparent: str | None
    verify: bool = False


def add(a: Counts, b: Counts) -> Counts:
    """Counts of two submissions together."""
    return Counts(
        a.received + b.received,
        a.accepted + b.accepted,
        a.duplicates + b.duplicates,
        a.dead_lettered + b.dead_lettered,
    )


Part: TypeAlias = tuple[pa.RecordBatch, pa.RecordBatch | None]
"""Frames and dead letters of one shard."""

NOTHING: Final = Counts(0, 0, 0, 0)


class Intake:
    """Hands frames to the shards of the platform."""

    def __init__(self, platform: IntakePlatform) -> None:
        """Hand frames to the shards of `platform`; reads its databases, which say what is critical."""
        self._platform = platform
        self.room: Final = DeadLetterRoom(platform)
        self.pseudonyms: Final = platform.pseudonyms
        self._encoders = background_pool("encode")
        config = platform.config
        self._classifier = Classifier.of_catalogue(config.lanes, load_catalogue(config.profiles()))

    def lane(self, frames: pa.RecordBatch, received_at: int) -> Lane:
        """See `Classifier.lane`."""
        return self._classifier.lane(frames, received_at)

    def admit_anywhere(self, lane: Lane) -> None:
        """Raise Overloaded where any shard has no room for a request of `lane`, or all of them are away.

        One that is away need not concern the request, which was not read yet.
        """
        away = []
        for shard in range(self._platform.layout.shards):
            try:
                self._platform.admit([shard], lane)
            except PartitionAway as error:
                away.append(error)
        if len(away) == self._platform.layout.shards:
            raise away[0]

    async def take(self, origin: Origin, lane: Lane, frames: pa.RecordBatch, rejected: pa.RecordBatch | None) -> Counts:
        """Make canonical `frames` and the `rejected` rows durable; returns when all shards have synced them.

        Shards are asked concurrently. When one fails after another has accepted its part, the request
        fails as a whole; sending it again is safe, since what was accepted is then a duplicate.

        Raises:
            Overloaded: a shard has no room; DeadLettersFull, the fleet's dead letters have none for `rejected`.
            TimeoutError: a shard did not answer within `SUBMIT_TIMEOUT_S`.
        """
        if rejected is not None and rejected.num_rows:
            await self.room.admit(origin.fleet, rejected.num_rows)
        parts = split(origin.fleet, frames, rejected, self._platform.layout)
        total = NOTHING
        if not parts:
            return total
        # Before the costly part, so that a refusal costs little, and after it, since others went on meanwhile.
        self._platform.admit(parts.keys(), lane)
        if frames.nbytes <= _INLINE_BYTES:
            submissions = _encoded(origin, parts)
        else:
            submissions = await asyncio.get_running_loop().run_in_executor(self._encoders, _encoded, origin, parts)
            self._platform.admit(parts.keys(), lane)
        calls = [self._platform.submit(shard, submission, lane) for shard, submission in submissions.items()]
        async with asyncio.timeout(SUBMIT_TIMEOUT_S):
            results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
            n = result.accepted + result.duplicates + result.dead_lettered
            total = add(total, Counts(n, result.accepted, result.duplicates, result.dead_lettered))
        return total

    def lanes(self, frames: pa.RecordBatch, starts: I64, received_at: int) -> U8:
        """See `Classifier.lanes`."""
        return self._classifier.lanes(frames, starts, received_at)

    async def take_many(
        self, origin: Origin, lane: Lane, frames: pa.RecordBatch, request: I64
    ) -> AsyncIterator[tuple[int, Counts | BaseException]]:
        """Make the frames of several requests of one lane durable, in one submission a shard.

        A request waits for the shards of its own vehicles alone, and fails with them alone.

        Args:
            origin: the fleet they have in common, and the first one's time and id, which the submissions carry.
            lane: of all of them.
            frames: few enough to be encoded on the event loop.
            request: int64[frames], whose each frame is; every number from 0 on has one.

        Yields:
            Each request once, as soon as that is known: its number, and what became of it or why it failed.
        """
        shards = _shards_of(origin.fleet, frames, self._platform.layout)
        parts: dict[asyncio.Task[SubmitResult], I64] = {}
        n = int(request.max()) + 1
        unanswered = np.zeros(n, np.int64)
        for shard in np.unique(shards).tolist():
            mine = np.flatnonzero(shards == shard)
            parts[asyncio.create_task(self._take_part(origin, lane, shard, _rows_of(frames, mine)))] = request[mine]
            unanswered[np.unique(request[mine])] += 1
        accepted, duplicates = np.zeros(n, np.int64), np.zeros(n, np.int64)
        failed: dict[int, BaseException] = {}
        while parts:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                whose = parts.pop(part)
                concerned = np.unique(whose)
                if error := part.exception():
                    failed |= dict.fromkeys(concerned.tolist(), error)
                else:
                    twice = _duplicate_rows(part.result(), len(whose))
                    accepted += np.bincount(whose[~twice], minlength=n)
                    duplicates += np.bincount(whose[twice], minlength=n)
                unanswered[concerned] -= 1
                for i in concerned[unanswered[concerned] == 0].tolist():
                    a, d = int(accepted[i]), int(duplicates[i])
                    yield i, failed.get(i) or Counts(a + d, a, d, 0)

    async def _take_part(self, origin: Origin, lane: Lane, shard: int, frames: pa.RecordBatch) -> SubmitResult:
        self._platform.admit([shard], lane)
        async with asyncio.timeout(SUBMIT_TIMEOUT_S):
            return await self._platform.submit(shard, encode(_submission(origin, frames, None)), lane)


def _rows_of(frames: pa.RecordBatch, rows: I64) -> pa.RecordBatch:
    return frames if len(rows) == frames.num_rows else select(frames, rows)


def _duplicate_rows(result: SubmitResult, n: int) -> Bools:
    """bool[n], the frames of a submission that are duplicates."""
    if result.duplicate_rows:
        packed = np.frombuffer(result.duplicate_rows, np.uint8)
        return np.unpackbits(packed, count=n, bitorder="little").view(np.bool_)
    return np.full(n, result.accepted == 0)


def split(fleet: str, frames: pa.RecordBatch, rejected: pa.RecordBatch | None, layout: Layout) -> dict[int, Part]:
    """Frames and dead letters for each shard concerned. O(rows + vehicles).

    Vehicles are hashed once each, by their place in the batch's dictionary. The rejected rows, whose
    vehicle may be what is wrong with them, travel with one of the request's shards, or, when no row
    is good, with the shard that the fleet's name picks.
    """
    parts: dict[int, Part] = {}
    if frames.num_rows:
        shards = _shards_of(fleet, frames, layout)
        present = np.unique(shards)
        if len(present) == 1:
            parts[int(present[0])] = (frames, None)
        else:
            for shard in present:
                parts[int(shard)] = (select(frames, np.flatnonzero(shards == shard)), None)
    if rejected is not None and rejected.num_rows:
        carrier = next(iter(parts), zlib.crc32(fleet.encode()) % layout.shards)
        parts[carrier] = (parts[carrier][0] if carrier in parts else frames, rejected)
    return parts


def _encoded(origin: Origin, parts: dict[int, Part]) -> dict[int, bytes]:
    return {shard: encode(_submission(origin, *part)) for shard, part in parts.items()}


def _submission(origin: Origin, frames: pa.RecordBatch, rejected: pa.RecordBatch | None) -> Submission:
    return Submission(
        origin.fleet, origin.received_at, origin.request_id, frames, rejected, origin.traceparent, origin.verify
    )


def _shards_of(fleet: str, frames: pa.RecordBatch, layout: Layout) -> I32:
    vehicle = frames.column("vehicle_id")
    by_vehicle = layout.shard_of[partition_of(fleet, vehicle.dictionary, layout.partitions)]
    return by_vehicle[vehicle.indices.to_numpy()]
