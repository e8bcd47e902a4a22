"""The partition actor: a Ray shell around the shards it holds, which come and go while it runs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from actors.held_shard import HeldShard
from actors.metrics import Metrics, Reading
from actors.placement import placed
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import require_migrated
from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.descriptors import reserve_descriptors
from pipeline.errors import PartitionMoved
from pipeline.lanes.lane import Lane
from pipeline.logs.handler import set_up_logs
from pipeline.metrics import DROPPED_SPANS, INSERT_SECONDS, Metric
from pipeline.shard import account_answers
from pipeline.shard.readings import NEUTRAL, readings
from pipeline.shard.shard import Shard
from pipeline.shard.warm import warm
from pipeline.tracing.tracing import tracing_of

_T = TypeVar("_T")
_SWITCH_S: Final = 0.0005
"""How long a thread may hold the interpreter while another waits for it; Python's 5 ms, several times in one commit,
would be most of an acknowledgement."""
_MOVED_AGAIN_S: Final = 1.0


class PartitionActor:
    """Holds the shards that the placement gives it: an async actor, each of whose methods names a shard first.

    Ray restarts it after a crash, and its shards then recover from their journals.
    """

    def __init__(self, number: int, config: CanfleetConfig) -> None:
        """Open the shards that are placed on actor `number`; ready on return, save those whose journal is not."""
        set_up_logs(config.logging, f"partition-{number}")
        sys.setswitchinterval(_SWITCH_S)
        reserve_descriptors()
        self._config = config
        self._catalogue = load_catalogue(config.profiles())
        self._metrics = Metrics()
        tracing_of(config.tracing).on_dropped = lambda spans: self._metrics.add(DROPPED_SPANS, (), spans)
        self._answers = ThreadPoolExecutor(2, "answer")
        self._openers = ThreadPoolExecutor(2, "open")
        self._held: dict[int, HeldShard] = {}
        self._told: set[tuple[Metric, tuple[str, ...]]] = set()
        self._opening: dict[int, asyncio.Future[HeldShard]] = {}
        for shard in placed(config.data_dir).shards_of(number):
            self._held[shard] = self._open(shard)
        if not self._held:
            warm(config, self._catalogue)
        self._metrics.keep_up(self._readings, f"actor-{number}-metrics")

    def _open(self, shard: int) -> HeldShard:
        warehouse = Warehouse(self._config.clickhouse, require_migrated)
        warehouse.on_insert = lambda table, seconds: self._metrics.observe(INSERT_SECONDS, (str(shard), table), seconds)
        return HeldShard(shard, self._config, self._catalogue, warehouse, self._answers)

    def _readings(self) -> Iterator[Reading]:
        told: dict[tuple[Metric, tuple[str, ...]], float] = {}
        for held in list(self._held.values()):
            if held.opened is not None:
                told |= {(metric, labels): value for metric, labels, value in readings(held.opened)}
        # Ray repeats for ever what a gauge said last, so that those of a shard which has moved must say nothing more.
        gone = {(metric, labels): NEUTRAL.get(metric, 0.0) for metric, labels in self._told - told.keys()}
        self._told = set(told)
        for (metric, labels), value in (told | gone).items():
            yield metric, labels, value

    def _of(self, shard: int) -> HeldShard:
        held = self._held.get(shard)
        if held is None:
            raise PartitionMoved(f"shard {shard} is not held here", _MOVED_AGAIN_S)
        return held

    async def _ask(self, shard: int, function: Callable[[Shard], _T]) -> _T:
        return await self._of(shard).answer(function)

    async def ping(self) -> None:
        """A sign of life, from the event loop alone: neither a slow disk nor a long query delays it."""

    # -- which shards -------------------------------------------------------------------------------------------

    async def hold(self, shard: int) -> None:
        """Take a shard over, from wherever it was; its own once this returns. Nothing where it is held already."""
        if shard in self._held:
            return
        if shard not in self._opening:
            opening = asyncio.get_running_loop().run_in_executor(self._openers, self._open, shard)
            self._opening[shard] = opening
        try:
            self._held[shard] = await asyncio.shield(self._opening[shard])
        finally:
            self._opening.pop(shard, None)

    async def release(self, shard: int) -> None:
        """Give a shard up, so that another actor can hold it; what is under way is answered first.

        Raises:
            PartitionMoved: it is not held here.
        """
        held = self._of(shard)
        await held.prepare()
        if self._held.pop(shard, None) is held:
            await held.hand_over()

    async def load(self) -> tuple[dict[int, float], float]:
        """Frames per second by shard, and the processor seconds this process has used so far."""
        rates = {
            shard: held.opened.frames_per_second() for shard, held in self._held.items() if held.opened is not None
        }
        return {shard: rates.get(shard, 0.0) for shard in self._held}, time.process_time()

    # -- intake -------------------------------------------------------------------------------------------------

    async def submit(self, shard: int, submission: bytes, lane: Lane) -> tuple[int, int, int, bytes]:
        """Make a submission durable; the fields of its `Receipt`. Raises as `GroupCommit.submit` does."""
        receipt = await self._of(shard).submit(submission, lane)
        return receipt.accepted, receipt.duplicates, receipt.dead_lettered, receipt.duplicate_rows

    async def forget(
        self, shard: int, fleet: str, vehicle_id: str, patience_s: float, letters_only: bool
    ) -> dict[str, int]:
        """Forget a vehicle; what was removed, by place: see `HeldShard.forget`."""
        return await self._of(shard).forget(fleet, vehicle_id, patience_s, letters_only)

    # -- answers ------------------------------------------------------------------------------------------------

    async def latest(self, shard: int, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Latest value of every signal of a vehicle."""
        return await self._ask(shard, lambda held: held.latest(fleet, vehicle_id))

    async def vehicles(self, shard: int, fleet: str) -> list[dict[str, Any]]:
        """The fleet's vehicles of this shard."""
        return await self._ask(shard, lambda held: held.vehicle_list(fleet))

    async def positions(self, shard: int, fleet: str) -> dict[str, Any]:
        """Where the fleet's vehicles of this shard are, in columns."""
        return await self._ask(shard, lambda held: held.positions(fleet))

    async def summary(self, shard: int, fleet: str) -> dict[str, Any]:
        """This shard's part of the fleet in numbers."""
        return await self._ask(shard, lambda held: held.summary(fleet))

    async def unstored_dead_letters(self, shard: int, fleet: str) -> int:
        """The fleet's dead letters that ClickHouse lacks."""
        return await self._ask(shard, lambda held: held.unstored_dead_letters(fleet))

    async def ledger(self, shard: int, fleet: str, start: int, end: int) -> dict[str, Any]:
        """This shard's part of the fleet's ledger, by hour."""
        return await self._ask(shard, lambda held: account_answers.ledger_by_hour(held, fleet, start, end))

    async def gaps(self, shard: int, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Frames that never came, by session of a vehicle."""
        return await self._ask(shard, lambda held: account_answers.gaps_of(held, fleet, vehicle_id))

    async def anomalies(
        self,
        shard: int,
        fleet: str,
        vehicle_id: str | None,
        kind: str | None,
        start: int | None,
        end: int | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Live anomalies."""
        return await self._ask(shard, lambda held: held.anomalies(fleet, vehicle_id, kind, start, end, limit))

    async def events(self, shard: int, cursor: int, timeout_s: float) -> tuple[int, list[dict[str, Any]]]:
        """Wait until anomalies change: see `HeldShard.events`."""
        return await self._of(shard).events(cursor, timeout_s)

    async def status(self, shard: int) -> dict[str, Any]:
        """How the shard is, whether it is draining, and the process that holds it."""
        return await self._of(shard).status()

    async def drain(self, shard: int, timeout_s: float) -> bool:
        """Refuse new work, finish what is in flight, checkpoint; whether everything reached ClickHouse."""
        return await self._of(shard).drain(timeout_s)
