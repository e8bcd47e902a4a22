"""Many small requests become few submissions: what comes within a few milliseconds is read and committed as one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa

from pipeline.errors import Overloaded
from pipeline.frames.limits import FrameLimits
from pipeline.frames.many import CutBody, read_many
from pipeline.frames.split import select
from pipeline.keys.record import KeyRecord
from pipeline.lanes.lane import Lane
from pipeline.privacy.pseudonyms import Pseudonyms
from pipeline.submission import Counts
from pipeline.types import I32, Bools
from serve.budget import Held
from serve.intake import Intake, Origin

SMALL_BYTES: Final = 16 << 10
"""Bodies up to this size are gathered: fifty frames as JSON are 6 KB."""
GATHER_S: Final = 0.004
"""How long requests are gathered when nothing is under way: what a lone request waits."""
LONGEST_S: Final = 0.02
"""How long at most while an earlier batch is being committed: a shard's cost is one of batches, hardly of frames."""
FULL_BYTES: Final = 64 << 10
"""So many bytes are enough: a larger batch would hold up the event loop."""

_Answer: TypeAlias = "asyncio.Future[Counts | None]"


@dataclass(slots=True)
class _Gathered:
    """Requests of one fleet that wait to be read together."""

    request_id: str
    received_at: int
    timer: asyncio.TimerHandle
    bodies: list[CutBody] = field(default_factory=list)
    keys: list[KeyRecord] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    answers: list[_Answer] = field(default_factory=list)
    n_bytes: int = 0


class Coalescer:
    """Gathers small bodies by fleet. Each is answered for itself, and none suffers from another. One event loop."""

    def __init__(self, intake: Intake, limits: FrameLimits, pseudonyms: Pseudonyms) -> None:
        """Hand what is gathered to `intake`, its vehicles under their pseudonyms."""
        self._intake = intake
        self._limits = limits
        self._pseudonyms = pseudonyms
        self._gathered: dict[str, _Gathered] = {}
        self._taking: set[asyncio.Task[None]] = set()

    async def take(self, key: KeyRecord, body: CutBody, held: Held, request_id: str, received_at: int) -> Counts | None:
        """Make the frames of one small request durable, at most `LONGEST_S` later than alone.

        `held` is what the request holds of the replica's budget; it leaves the reserve unless it is critical.

        Returns:
            What became of its frames; None where some of them are bad, and it must be taken alone: nothing of it was
            accepted.

        Raises:
            CanfleetError, TimeoutError: as `Intake.take`; sending it again is safe.
        """
        loop = asyncio.get_running_loop()
        gathered = self._gathered.get(key.fleet)
        if gathered is None:
            timer = loop.call_later(GATHER_S, self._due, key.fleet, loop.time() + LONGEST_S)
            gathered = self._gathered[key.fleet] = _Gathered(request_id, received_at, timer)
        answer: _Answer = loop.create_future()
        gathered.bodies.append(body)
        gathered.keys.append(key)
        gathered.held.append(held)
        gathered.answers.append(answer)
        gathered.n_bytes += len(body.body)
        if gathered.n_bytes >= FULL_BYTES:
            gathered.timer.cancel()
            self._flush(key.fleet)
        return await answer

    def _due(self, fleet: str, latest: float) -> None:
        loop = asyncio.get_running_loop()
        if self._taking and loop.time() + GATHER_S <= latest:
            self._gathered[fleet].timer = loop.call_later(GATHER_S, self._due, fleet, latest)
        else:
            self._flush(fleet)

    def _flush(self, fleet: str) -> None:
        gathered = self._gathered.pop(fleet)
        try:
            self._take_all(fleet, gathered)
        except Exception as error:  # noqa: BLE001 handed to every request that waits
            for answer in gathered.answers:
                _answer(answer, error)

    def _take_all(self, fleet: str, gathered: _Gathered) -> None:
        many = read_many(gathered.bodies, self._limits, gathered.received_at)
        frames, body, alone = many.frames, many.body, many.faulty
        foreign = _foreign(gathered.keys, frames, body, self._pseudonyms)
        if foreign.any():
            alone = alone | foreign
            keep = ~foreign[body]
            frames, body = select(frames, keep), body[keep]
        for place in np.flatnonzero(alone).tolist():
            _answer(gathered.answers[place], None)
        if len(body):
            origin = Origin(fleet, gathered.received_at, gathered.request_id, None)
            self._take_good(origin, self._pseudonyms.frames(fleet, frames), body, gathered)

    def _take_good(self, origin: Origin, frames: pa.RecordBatch, body: I32, gathered: _Gathered) -> None:
        """Take frames whose bodies are all good, lane by lane; usually it is one."""
        starts = np.flatnonzero(np.diff(body, prepend=-1))
        lanes = self._intake.lanes(frames, starts, origin.received_at)
        room = [_find_room(gathered, int(body[start]), Lane(lane)) for start, lane in zip(starts, lanes, strict=True)]
        lengths = np.diff(starts, append=len(body))
        lane_of_row, has_room = np.repeat(lanes, lengths), np.repeat(room, lengths)
        for lane in np.unique(lanes).tolist():
            rows = (lane_of_row == lane) & has_room
            if rows.any():
                mine = frames if rows.all() else select(frames, rows)
                self._start(self._take_lane(origin, Lane(lane), mine, body[rows], gathered.answers))

    def _start(self, taking: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(taking)
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _take_lane(
        self, origin: Origin, lane: Lane, frames: pa.RecordBatch, body: I32, answers: list[_Answer]
    ) -> None:
        places = np.unique(body)
        try:
            async for i, result in self._intake.take_many(origin, lane, frames, np.searchsorted(places, body)):
                _answer(answers[places[i]], result)
        except Exception as error:  # noqa: BLE001 handed to every request of the lane that has no answer yet
            for place in places.tolist():
                _answer(answers[place], error)


def _find_room(gathered: _Gathered, place: int, lane: Lane) -> bool:
    """Whether a request may go on holding its body; one that may not is told so."""
    if lane is not Lane.CRITICAL:
        try:
            gathered.held[place].leave_reserve()
        except Overloaded as error:
            _answer(gathered.answers[place], error)
            return False
    return True


def _answer(answer: _Answer, result: Counts | BaseException | None) -> None:
    if answer.done():
        return  # its client has gone
    if isinstance(result, BaseException):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _foreign(keys: list[KeyRecord], frames: pa.RecordBatch, body: I32, pseudonyms: Pseudonyms) -> Bools:
    """bool[bodies], those with a frame of a vehicle that their key is not bound to."""
    foreign = np.zeros(len(keys), np.bool_)
    bound = [place for place, key in enumerate(keys) if key.vehicles]
    if bound:
        column = frames.column("vehicle_id")
        ids, vehicle = column.dictionary.to_pylist(), column.indices.to_numpy()
        for place in bound:
            start, end = np.searchsorted(body, [place, place + 1])
            mine = {ids[i] for i in vehicle[start:end].tolist()}
            name_of = partial(pseudonyms.of, keys[place].fleet)
            foreign[place] = keys[place].foreign_vehicle(mine, name_of) is not None
    return foreign
