"""Log files: `POST /v1/logs`, spooled to disk, read by a process of its own, sent on like any other frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import parse_qs

import pyarrow as pa

from pipeline.errors import BodyTooLarge, Overloaded
from pipeline.frames.logs import log_format
from pipeline.frames.schema import MAX_VEHICLE_ID_CHARACTERS
from pipeline.frames.validate import ParsedBody, revalidate
from pipeline.limits.limiter import Caller
from pipeline.submission import Counts
from serve.access import Access, check_vehicles
from serve.asgi import PostEndpoint, Request
from serve.budget import ByteBudget
from serve.dead_letter_room import DeadLetterRoom
from serve.intake import NOTHING, Intake, Origin, add
from serve.log_process import LogReaders
from serve.moments import as_datetime, moment
from serve.platform import IntakePlatform
from serve.problems import ProblemError, bad_request
from serve.rate_limits import RateLimits, frame_unit

MAX_LOG_BYTES: Final = 512 << 20
SPOOLED_BYTES: Final = 2 << 30
"""Log files on disk at one time; what comes beyond gets 503."""
PATIENCE_S: Final = 60.0
"""How long a log waits for room in a shard, since its first batches are accepted already."""

_SPOOL_PIECE: Final = 1 << 20


class LogsEndpoint(PostEndpoint):
    """Takes one log file a request."""

    path = "/v1/logs"

    def __init__(self, platform: IntakePlatform) -> None:
        """Take logs in for `platform`."""
        super().__init__(ByteBudget(SPOOLED_BYTES))
        self._limits = platform.config.limits
        self._pseudonyms = platform.pseudonyms
        self._rates = RateLimits(platform)
        self._access = Access(platform, self._rates)
        self._intake = Intake(platform)
        self._readers = LogReaders()

    @property
    def room(self) -> DeadLetterRoom:
        """What it knows of the fleets' dead letters."""
        return self._intake.room

    async def post(self, request: Request) -> Mapping[str, object]:
        """Authenticate, limit, spool, read, submit batch by batch."""
        key, caller = await self._access.admit(request)
        await self._rates.request(caller, "backfill")
        log = _described(request.query)
        check_vehicles(key, [log.vehicle_id], self._pseudonyms)
        log = replace(log, vehicle_id=self._pseudonyms.of(key.fleet, log.vehicle_id))
        held = request.declared_length(MAX_LOG_BYTES)
        with self.budget.hold(held), TemporaryDirectory(prefix="canfleet-log-") as folder:
            spooled, frames = Path(folder, log.filename), Path(folder, "frames.arrow")
            await _spool(request, spooled)
            origin = Origin(key.fleet, time.time_ns() // 1000, request.id, request.traceparent)
            skipped = await self._readers.read(key.fleet, spooled, frames, log.vehicle_id, log.start)
            return asdict(await self._send(origin, caller, frames)) | {"skipped": skipped}

    async def _send(self, origin: Origin, caller: Caller, frames: Path) -> Counts:
        total = NOTHING
        with pa.memory_map(str(frames)) as source, pa.ipc.open_file(source) as reader:
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                checked = await asyncio.to_thread(revalidate, batch, self._limits, origin.received_at)
                total = add(total, await self._send_patiently(origin, caller, checked))
        return total

    async def _send_patiently(self, origin: Origin, caller: Caller, batch: ParsedBody) -> Counts:
        deadline = time.monotonic() + PATIENCE_S
        lane = self._intake.lane(batch.frames, origin.received_at)
        n = batch.frames.num_rows + batch.rejected.num_rows
        self._rates.owe_frames(caller, n, frame_unit(lane))
        while True:
            try:
                return await self._intake.take(origin, lane, batch.frames, batch.rejected)
            except Overloaded as error:
                self.on_refused_frames(batch.frames.num_rows)
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(error.retry_after_s)


@dataclass(frozen=True, slots=True)
class _Log:
    """What the caller says of a log: whose it is, a file name of the format's ending, and when it began."""

    vehicle_id: str
    filename: str
    start: str


def _described(query: bytes) -> _Log:
    """Read the query string.

    Raises:
        ProblemError: 400, a parameter is missing or out of bounds.
        UnknownContentType: the file name's ending is no known format.
    """
    given = parse_qs(query.decode("latin-1"))
    vehicle_id, filename, start = (given.get(name, [""])[0] for name in ("vehicle_id", "filename", "start"))
    if not 1 <= len(vehicle_id) <= MAX_VEHICLE_ID_CHARACTERS or "\0" in vehicle_id:
        raise ProblemError(bad_request(f"`vehicle_id` must have 1 to {MAX_VEHICLE_ID_CHARACTERS} characters"))
    if not filename:
        raise ProblemError(bad_request("`filename` is missing: its ending tells the format"))
    form = log_format(Path(filename))
    packed = ".gz" if filename.lower().endswith(".gz") else ""
    begin = moment(start, "start")
    return _Log(vehicle_id, f"log{form}{packed}", "" if begin is None else as_datetime(begin).isoformat())


async def _spool(request: Request, path: Path) -> None:
    """Write the body to `path`, a mebibyte in memory at a time.

    Raises:
        BodyTooLarge: it exceeds `MAX_LOG_BYTES`.
    """
    size, more = 0, True
    with path.open("wb") as file:
        while more:
            piece = bytearray()
            while more and len(piece) < _SPOOL_PIECE:
                chunk, more = await request.next_chunk()
                piece += chunk
            size += len(piece)
            if size > MAX_LOG_BYTES:
                raise BodyTooLarge(f"the log exceeds {MAX_LOG_BYTES:,} bytes: split it")
            await asyncio.to_thread(file.write, piece)
