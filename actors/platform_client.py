"""The client that Serve replicas and the command line use to reach the actors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from actors import names
from actors.layout import Layout
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.dead_letters import DeadLetters
from pipeline.config import CanfleetConfig
from pipeline.errors import Overloaded, WarehouseError
from pipeline.keys.record import IssuedKey, KeyRecord, Scope
from pipeline.lanes.lane import Lane, allowance
from pipeline.shard.ledger import merged

_T = TypeVar("_T")

_log: Final = logging.getLogger("canfleet.actors")

_CALL_TIMEOUT_S: Final = 20.0
_READY_TIMEOUT_S: Final = 2.0
_EVER: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What one shard did with one submission: counts of rows, all durable. See `pipeline.shard.commit.Receipt`."""

    accepted: int
    duplicates: int
    dead_lettered: int
    duplicate_rows: bytes


class PlatformClient:
    """Handles to the directory and to every partition actor. One event loop uses one client.

    A call to an actor that is away, or that does not answer in time, raises Overloaded: retrying is right.
    """

    def __init__(self, directory: Any, config: CanfleetConfig, layout: Layout, shards: Sequence[Any]) -> None:  # noqa: ANN401
        self._directory = directory
        self._shards = shards
        self._in_flight = [0] * len(shards)
        self._asked: dict[int, asyncio.Future[tuple[int, list[dict[str, Any]]]]] = {}
        self.config: Final = config
        self.layout: Final = layout
        self.warehouse: Final = Warehouse(config.clickhouse)
        self._held = DeadLetters(self.warehouse).held
        # A thread of its own: while ClickHouse hangs, nothing else may wait with it.
        self._counts = ThreadPoolExecutor(1, "dead-letters")

    @classmethod
    async def connect(cls) -> PlatformClient:
        """Find the named actors of this Ray cluster.

        Raises:
            ValueError: there are none: the platform was not started on this cluster.
        """
        directory = ray.get_actor(names.DIRECTORY, namespace=names.NAMESPACE)
        config, layout = await directory.describe.remote()
        shards = [
            ray.get_actor(names.partition_actor(number), namespace=names.NAMESPACE) for number in range(layout.shards)
        ]
        return cls(directory, config, layout, shards)

    # -- intake -------------------------------------------------------------------------------------------------

    def admit(self, shards: Collection[int], lane: Lane) -> None:
        """Refuse a request before any work is spent on it, where one of its shards has too much in flight from here.

        Raises:
            Overloaded: nothing was accepted.
        """
        bound = allowance(lane, self.config.shard.max_in_flight_bytes)
        for shard in shards:
            if self._in_flight[shard] > bound:
                raise Overloaded(f"shard {shard} has {self._in_flight[shard] >> 20} MiB in flight", 1.0)

    def submit(self, shard: int, submission: bytes, lane: Lane) -> Coroutine[None, None, SubmitResult]:
        """Make one submission durable in one shard. It counts as in flight from the call on; await what comes back.

        Raises:
            Overloaded: its queue is full, or it is away; send the same again later.
            JournalError: its disk refused.
        """
        self._in_flight[shard] += len(submission)
        return self._submitted(shard, submission, lane)

    async def _submitted(self, shard: int, submission: bytes, lane: Lane) -> SubmitResult:
        try:
            return SubmitResult(*await _answer(shard, self._shards[shard].submit.remote(submission, lane)))
        finally:
            self._in_flight[shard] -= len(submission)

    async def dead_letters(self, fleet: str) -> tuple[int | None, int]:
        """The fleet's dead letters in ClickHouse, None while it does not say, and those journaled that it lacks.

        The journals are asked first: letters on their way from one to the other are counted twice rather than not.
        """
        unstored = sum(await self._all("unstored_dead_letters", fleet))
        try:
            stored = await asyncio.get_running_loop().run_in_executor(self._counts, self._held, fleet)
        except WarehouseError as error:
            _log.warning("ClickHouse does not count the dead letters of fleet %s: %s", fleet, error)
            return None, unstored
        return stored, unstored

    # -- live state ---------------------------------------------------------------------------------------------

    async def ready(self) -> dict[str, Any]:
        """Whether every shard takes frames in: `{"ready": bool, "reasons": [...]}`."""
        reasons = []
        for number, answer in enumerate(await self._all_or_error("status", timeout_s=_READY_TIMEOUT_S)):
            if isinstance(answer, BaseException):
                reasons.append(f"shard {number}: {answer}")
            elif answer["draining"]:
                reasons.append(f"shard {number} drains: the platform is stopping")
        return {"ready": not reasons, "reasons": reasons}

    async def vehicles(self, fleet: str) -> list[dict[str, Any]]:
        """Known vehicles by id."""
        parts = await self._all("vehicles", fleet)
        return sorted((vehicle for part in parts for vehicle in part), key=lambda v: v["vehicle_id"])

    async def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Latest value and window of every signal of a vehicle."""
        parts = await self._all("latest", fleet, vehicle_id)
        return next((part for part in parts if part is not None), None)

    async def summary(self, fleet: str) -> dict[str, Any]:
        """The fleet in numbers: the shards' parts added up."""
        total: dict[str, Any] = {}
        for part in await self._all("summary", fleet):
            total = _added(total, part)
        return total

    async def anomalies(
        self,
        fleet: str,
        *,
        vehicle_id: str | None = None,
        kind: str | None = None,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Live anomalies, newest first."""
        parts = await self._all("anomalies", fleet, vehicle_id, kind, start, end, limit)
        found = [anomaly for part in parts for anomaly in part]
        return sorted(found, key=lambda anomaly: anomaly["timestamp"], reverse=True)[:limit]

    async def ledger(self, fleet: str, start: int = 0, end: int = _EVER) -> dict[str, Any]:
        """What became of every frame of the fleet: totals, and the hours `start <= hour < end` since the epoch."""
        return merged(fleet, await self._all("ledger", fleet, start, end))

    async def gaps(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Frames that never came, by session of a vehicle."""
        return next((part for part in await self._all("gaps", fleet, vehicle_id) if part is not None), None)

    async def events(self, cursors: dict[int, int], timeout_s: float) -> tuple[dict[int, int], list[dict[str, Any]]]:
        """Wait until any shard has changes behind its cursor; a shard without a cursor starts at its newest.

        One caller at a time: the question to a shard that has nothing yet stays open for the next call.
        """
        for number, shard in enumerate(self._shards):
            if number not in self._asked:
                call = shard.events.remote(cursors.get(number, -1), timeout_s)
                self._asked[number] = asyncio.ensure_future(_answer(number, call, timeout_s + _CALL_TIMEOUT_S))
        await asyncio.wait(self._asked.values(), return_when=asyncio.FIRST_COMPLETED)
        moved, events = dict(cursors), []
        for number, asked in list(self._asked.items()):
            if asked.done():
                del self._asked[number]
                moved[number], changed = asked.result()
                events += changed
        return moved, events

    async def status(self) -> dict[str, Any]:
        """Health and lag of every shard."""
        shards = []
        for number, answer in enumerate(await self._all_or_error("status", timeout_s=_READY_TIMEOUT_S)):
            shards.append({"shard": number, "error": str(answer)} if isinstance(answer, BaseException) else answer)
        return {"partitions": self.layout.partitions, "shards": shards}

    async def drain(self, timeout_s: float) -> bool:
        """Let every shard finish; whether everything reached ClickHouse."""
        return all(await self._all("drain", timeout_s, timeout_s=timeout_s + _CALL_TIMEOUT_S))

    # -- keys ---------------------------------------------------------------------------------------------------

    async def keys(self, known_version: int) -> tuple[int, list[KeyRecord]] | None:
        """Key records and their version; None when `known_version` is current."""
        return await _answer("directory", self._directory.keys.remote(known_version))

    async def note_uses(self, used: Mapping[str, int]) -> None:
        """Tell when keys (by id) were last used (µs)."""
        await _answer("directory", self._directory.note_uses.remote(dict(used)))

    async def create_key(
        self, fleet: str, scopes: Iterable[Scope], expires_at: int | None = None, vehicles: Iterable[str] = ()
    ) -> IssuedKey:
        """Make a key."""
        call = self._directory.create_key.remote(fleet, list(scopes), expires_at, list(vehicles))
        return await _answer("directory", call)

    async def list_keys(self, fleet: str | None) -> list[KeyRecord]:
        """Keys of one fleet, or of all."""
        return await _answer("directory", self._directory.list_keys.remote(fleet))

    async def revoke_key(self, key_id: str) -> KeyRecord | None:
        """Revoke a key; None when it is unknown."""
        return await _answer("directory", self._directory.revoke_key.remote(key_id))

    async def rotate_key(self, key_id: str) -> IssuedKey | None:
        """Give a key a new secret; None when it cannot be."""
        return await _answer("directory", self._directory.rotate_key.remote(key_id))

    # -- rate limits --------------------------------------------------------------------------------------------

    async def divide(self, replica: str, asked: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """The number of replicas, and the part of each limit in `asked` that `replica` may use; see `Shares.divide`."""
        return await _answer("directory", self._directory.divide.remote(replica, asked))

    # -- inside -------------------------------------------------------------------------------------------------

    async def _all(self, method: str, *arguments: Any, timeout_s: float = _CALL_TIMEOUT_S) -> list[Any]:  # noqa: ANN401
        calls = [getattr(shard, method).remote(*arguments) for shard in self._shards]
        return await asyncio.gather(*(_answer(number, call, timeout_s) for number, call in enumerate(calls)))

    async def _all_or_error(self, method: str, *, timeout_s: float) -> list[Any]:
        calls = [getattr(shard, method).remote() for shard in self._shards]
        answers = (_answer(number, call, timeout_s) for number, call in enumerate(calls))
        return await asyncio.gather(*answers, return_exceptions=True)


async def _answer(who: int | str, call: Awaitable[_T], timeout_s: float = _CALL_TIMEOUT_S) -> _T:
    """Await an actor's answer; its own exception as it raised it, and Overloaded where it does not answer."""
    try:
        return await asyncio.wait_for(call, timeout_s)
    except RayTaskError as error:
        raise error.cause from error
    except (RayActorError, GetTimeoutError, TimeoutError) as error:
        name = f"shard {who}" if isinstance(who, int) else who
        raise Overloaded(f"{name} is away: {type(error).__name__}", 1.0) from error


def _added(total: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Two documents of numbers added key by key."""
    result = dict(total)
    for key, value in part.items():
        result[key] = _added(result.get(key, {}), value) if isinstance(value, dict) else result.get(key, 0) + value
    return result
