"""The client that Serve replicas and the command line use to reach the actors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import ray

from actors import names
from actors.directory_client import DirectoryClient
from actors.layout import Layout
from actors.metrics import Metrics, Reading
from actors.named_actor import NamedActor
from actors.placed_shards import PlacedShards, SubmitResult
from actors.placement import Placement
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.dead_letters import DeadLetters
from pipeline.config import CanfleetConfig
from pipeline.errors import CanfleetError, PartitionAway, PartitionMoved, WarehouseError
from pipeline.lanes.lane import Lane, allowance
from pipeline.metrics import PARTITION_AWAY
from pipeline.partitioning import partition_of
from pipeline.privacy.pseudonyms import Pseudonyms
from pipeline.shard.ledger import merged

_T = TypeVar("_T")

_log: Final = logging.getLogger("canfleet.actors")

_READY_TIMEOUT_S: Final = 2.0
_EVER: Final = 1 << 40
_POLL_WHILE_AWAY_S: Final = 1.0
"""A shard that was away is asked for its events again so soon."""


class PlatformClient(DirectoryClient):
    """Handles to the directory and to every partition actor. One event loop uses one client.

    A call to an actor that is away, or that does not answer in time, raises Overloaded: retrying is right. Each
    partition actor has a `Line` of its own, so that one that is away is found out soon, and keeps nobody waiting after.
    """

    def __init__(
        self,
        directory: NamedActor,
        config: CanfleetConfig,
        layout: Layout,
        placement: Placement,
        actors: Sequence[NamedActor],
    ) -> None:
        super().__init__(directory)
        self._shards = PlacedShards(placement, list(actors), _partition_actor, self._placement)
        self._asked: dict[int, asyncio.Future[tuple[int, list[dict[str, Any]]]]] = {}
        self.config: Final = config
        self.layout: Final = layout
        self.pseudonyms = Pseudonyms()
        """The names under which vehicles are stored; those of the configuration once connected."""
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
        directory = await NamedActor.called(names.DIRECTORY)
        config, layout = await directory.call("describe")
        placement = await directory.call("placement", -1)
        actors = [await _partition_actor(number) for number in range(placement.actors)]
        client = cls(directory, config, layout, placement, actors)
        client.pseudonyms = Pseudonyms(config.privacy.pseudonymise, await directory.call("secret"))
        # In Serve's replicas; `canfleet up` itself, which connects to drain, is about to leave Ray.
        if ray.get_runtime_context().get_actor_id() is not None:
            Metrics().keep_up(client.readings, "partition-lines")
            client._shards.follow()
        return client

    def readings(self) -> list[Reading]:
        """Which partition actors are away as seen from here; for any thread."""
        return [(PARTITION_AWAY, (str(number),), float(self._shards.away(number))) for number in self._numbers]

    @property
    def _numbers(self) -> range:
        return range(len(self._shards))

    # -- intake -------------------------------------------------------------------------------------------------

    def admit(self, shards: Collection[int], lane: Lane) -> None:
        """Refuse a request before any work is spent on it, where a shard of it is away or has much in flight from here.

        Raises:
            PartitionAway, Overloaded: nothing was accepted.
        """
        bound = allowance(lane, self.config.shard.max_in_flight_bytes)
        for shard in shards:
            self._shards.admit(shard, bound)

    def submit(self, shard: int, submission: bytes, lane: Lane) -> Coroutine[None, None, SubmitResult]:
        """Make one submission durable in one shard. It counts as in flight from the call on; await what comes back.

        Raises:
            PartitionAway: it is away, and may or may not have made it durable; send the same again later.
            Overloaded: its queue is full; likewise.
            JournalError: its disk refused.
        """
        return self._shards.submit(shard, submission, lane)

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

    async def positions(self, fleet: str) -> dict[str, Any]:
        """Where all vehicles are, in columns of one length: see `Positions.of_fleet`."""
        first, *more = await self._all("positions", fleet)
        return {
            name: sum((part[name] for part in more), column)
            if isinstance(column, list)
            else np.concatenate([column, *(part[name] for part in more)])
            for name, column in first.items()
        }

    async def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Latest value and window of every signal of a vehicle."""
        state: dict[str, Any] | None = await self._ask_for("latest", fleet, vehicle_id)
        return state

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
        found: dict[str, Any] | None = await self._ask_for("gaps", fleet, vehicle_id)
        return found

    async def forget(self, fleet: str, vehicle_id: str, patience_s: float) -> dict[str, int]:
        """Forget a vehicle in every shard, since its dead letters may lie in any; what was removed, by place.

        Raises:
            Overloaded: a shard is away, or not done within `patience_s`; what was decided goes on by itself.
        """
        owner = self._shard_of(fleet, vehicle_id)
        removed: dict[str, int] = {}
        clock = asyncio.get_running_loop().time
        until = clock() + patience_s
        # One after the other: two at a time would both count a dead letter that both see.
        for shard in self._numbers:
            left_s = max(0.0, until - clock())
            arguments = fleet, vehicle_id, left_s, shard != owner
            part = await self._shards.ask(shard, "forget", *arguments, patient_s=left_s)
            removed = _added(removed, part)
        return removed

    async def events(self, cursors: dict[int, int], timeout_s: float) -> tuple[dict[int, int], list[dict[str, Any]]]:
        """Wait until any shard has changes behind its cursor; a shard without a cursor starts at its newest.

        One caller at a time: the question to a shard that has nothing yet stays open for the next call. A shard that
        is away is left out until it is back; its cursor stays.

        Raises:
            PartitionAway: all of them are.
        """
        here = [number for number in self._numbers if not self._shards.away(number)]
        for number in here:
            if number not in self._asked:
                cursor = cursors.get(number, -1)
                asking = self._shards.ask(number, "events", cursor, timeout_s, patient_s=timeout_s)
                self._asked[number] = asyncio.ensure_future(asking)
        if not self._asked:
            self._shards.check(0)
        patience_s = None if len(here) == len(self._shards) else _POLL_WHILE_AWAY_S
        await asyncio.wait(self._asked.values(), timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        moved, events = dict(cursors), []
        for number, asked in list(self._asked.items()):
            if asked.done():
                del self._asked[number]
                if not isinstance(asked.exception(), PartitionAway | PartitionMoved):
                    moved[number], changed = asked.result()
                    events += changed
        return moved, events

    async def status(self) -> dict[str, Any]:
        """Health and lag of every shard, and the state of the breaker before it as seen from here."""
        shards = []
        for number, answer in enumerate(await self._all_or_error("status", timeout_s=_READY_TIMEOUT_S)):
            known = {"shard": number, "error": str(answer)} if isinstance(answer, BaseException) else answer
            shards.append(
                known | {"actor": self._shards.actor_of(number), "breaker": str(self._shards.breaker(number))}
            )
        return {"partitions": self.layout.partitions, "shards": shards}

    async def drain(self, timeout_s: float) -> bool:
        """Let every shard finish; whether everything reached ClickHouse, which a shard that is away prevents."""
        asked = (self._shards.ask(number, "drain", timeout_s, patient_s=timeout_s) for number in self._numbers)
        drained = await asyncio.gather(*asked, return_exceptions=True)
        for answer in drained:
            if isinstance(answer, CanfleetError):
                _log.warning("%s while the platform drains", answer)
            elif isinstance(answer, BaseException):
                raise answer
        return all(answer is True for answer in drained)

    # -- inside -------------------------------------------------------------------------------------------------

    async def _all(self, method: str, *arguments: Any) -> list[Any]:  # noqa: ANN401
        return await asyncio.gather(*(self._shards.ask(number, method, *arguments) for number in self._numbers))

    async def _all_or_error(self, method: str, *, timeout_s: float) -> list[Any]:
        asked = (self._shards.ask(number, method, timeout_s=timeout_s) for number in self._numbers)
        return await asyncio.gather(*asked, return_exceptions=True)

    def _shard_of(self, fleet: str, vehicle_id: str) -> int:
        [partition] = partition_of(fleet, pa.array([vehicle_id]), self.layout.partitions)
        return int(self.layout.shard_of[partition])

    async def _ask_for(self, method: str, fleet: str, vehicle_id: str) -> Any:  # noqa: ANN401
        return await self._shards.ask(self._shard_of(fleet, vehicle_id), method, fleet, vehicle_id)


async def _partition_actor(number: int) -> NamedActor:
    """Raises ValueError where there is none."""
    return await NamedActor.called(names.partition_actor(number))


def _added(total: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Two documents of numbers added key by key."""
    result = dict(total)
    for key, value in part.items():
        result[key] = _added(result.get(key, {}), value) if isinstance(value, dict) else result.get(key, 0) + value
    return result
