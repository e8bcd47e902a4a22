"""Many small requests become few submissions: what comes within a few milliseconds is read and committed as one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa

from pipeline.frames.limits import FrameLimits
from pipeline.frames.many import CutBody, read_many
from pipeline.frames.split import select
from pipeline.keys.record import KeyRecord
from pipeline.lanes.lane import Lane
from pipeline.submission import Counts
from pipeline.types import I32, Bools
from serve.intake import Intake, Origin

SMALL_BYTES: Final = 16 << 10
"""Bodies up to this size are gathered: fifty frames as JSON are 6 KB."""
GATHER_S: Final = 0.004
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
    answers: list[_Answer] = field(default_factory=list)
    n_bytes: int = 0


class Coalescer:
    """Gathers small bodies by fleet. Each is answered for itself, and none suffers from another. One event loop."""

    def __init__(self, intake: Intake, limits: FrameLimits) -> None:
        """Hand what is gathered to `intake`."""
        self._intake = intake
        self._limits = limits
        self._gathered: dict[str, _Gathered] = {}
        self._taking: set[asyncio.Task[None]] = set()

    async def take(self, key: KeyRecord, body: CutBody, request_id: str, received_at: int) -> Counts | None:
        """Make the frames of one small request durable, at most `GATHER_S` later than alone.

        Returns:
            What became of its frames; None where some of them are bad, and it must be taken alone: nothing of it was
            accepted.

        Raises:
            CanfleetError, TimeoutError: as `Intake.take`; sending it again is safe.
        """
        loop = asyncio.get_running_loop()
        gathered = self._gathered.get(key.fleet)
        if gathered is None:
            timer = loop.call_later(GATHER_S, self._flush, key.fleet)
            gathered = self._gathered[key.fleet] = _Gathered(request_id, received_at, timer)
        answer: _Answer = loop.create_future()
        gathered.bodies.append(body)
        gathered.keys.append(key)
        gathered.answers.append(answer)
        gathered.n_bytes += len(body.body)
        if gathered.n_bytes >= FULL_BYTES:
            gathered.timer.cancel()
            self._flush(key.fleet)
        return await answer

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
        foreign = _foreign(gathered.keys, frames, body)
        if foreign.any():
            alone = alone | foreign
            keep = ~foreign[body]
            frames, body = select(frames, keep), body[keep]
        for place in np.flatnonzero(alone).tolist():
            _answer(gathered.answers[place], None)
        if len(body):
            origin = Origin(fleet, gathered.received_at, gathered.request_id, None)
            self._take_good(origin, frames, body, gathered.answers)

    def _take_good(self, origin: Origin, frames: pa.RecordBatch, body: I32, answers: list[_Answer]) -> None:
        """Take frames whose bodies are all good, lane by lane; usually it is one."""
        starts = np.flatnonzero(np.diff(body, prepend=-1))
        lane_of_row = np.repeat(
            self._intake.lanes(frames, starts, origin.received_at), np.diff(starts, append=len(body))
        )
        present = np.unique(lane_of_row)
        for lane in present.tolist():
            rows = lane_of_row == lane
            mine = frames if len(present) == 1 else select(frames, rows)
            self._start(self._take_lane(origin, Lane(lane), mine, body[rows], answers))

    def _start(self, taking: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(taking)
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _take_lane(
        self, origin: Origin, lane: Lane, frames: pa.RecordBatch, body: I32, answers: list[_Answer]
    ) -> None:
        places = np.unique(body)
        results: Sequence[Counts | BaseException]
        try:
            results = await self._intake.take_many(origin, lane, frames, np.searchsorted(places, body))
        except Exception as error:  # noqa: BLE001 handed to every request of the lane
            results = [error] * len(places)
        for place, result in zip(places.tolist(), results, strict=True):
            _answer(answers[place], result)


def _answer(answer: _Answer, result: Counts | BaseException | None) -> None:
    if answer.done():
        return  # its client has gone
    if isinstance(result, BaseException):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _foreign(keys: list[KeyRecord], frames: pa.RecordBatch, body: I32) -> Bools:
    """bool[bodies], those with a frame of a vehicle that their key is not bound to."""
    foreign = np.zeros(len(keys), np.bool_)
    bound = [place for place, key in enumerate(keys) if key.vehicles]
    if bound:
        column = frames.column("vehicle_id")
        ids, vehicle = column.dictionary.to_pylist(), column.indices.to_numpy()
        for place in bound:
            start, end = np.searchsorted(body, [place, place + 1])
            mine = {ids[i] for i in vehicle[start:end].tolist()}
            foreign[place] = keys[place].foreign_vehicle(mine) is not None
    return foreign
