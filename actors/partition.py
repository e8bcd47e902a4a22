"""The partition actor: a Ray shell around one shard, which groups what comes in while a commit is under way."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from actors.group_commit import GroupCommit
from actors.metrics import Metrics
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import require_migrated
from pipeline.config import CanfleetConfig
from pipeline.decode.catalogue import Catalogue
from pipeline.decode.databases import load_catalogue
from pipeline.descriptors import reserve_descriptors
from pipeline.errors import JournalError, Overloaded
from pipeline.heap import freeze_heap
from pipeline.lanes.lane import Lane
from pipeline.metrics import INSERT_SECONDS
from pipeline.shard import account_answers
from pipeline.shard.commit import Receipt
from pipeline.shard.readings import readings
from pipeline.shard.shard import Shard

_T = TypeVar("_T")
_SWITCH_S: Final = 0.0005
"""How long a thread may hold the interpreter while another waits for it; Python's 5 ms, several times in one commit,
would be most of an acknowledgement."""
_NEWEST: Final = (1 << 63) - 1
_OPEN_AGAIN_S: Final = 5.0
_FORGET_AGAIN_S: Final = 10.0

log = logging.getLogger(__name__)


class PartitionActor:
    """Holds one shard. An async actor: the commit runs in one thread, answers in others, and neither blocks `submit`.

    Ray restarts it after a crash, and the shard then recovers from its journal.
    """

    def __init__(self, number: int, config: CanfleetConfig) -> None:
        """Open the shard and start its loops; ready when this returns, unless the shard's journal cannot be used."""
        sys.setswitchinterval(_SWITCH_S)
        reserve_descriptors()
        self._config = config
        self._number = number
        self._opened: Shard | None = None
        self._fault = ""
        self._metrics = Metrics()
        self._commits = GroupCommit(self._admit, self._commit, config.shard.max_queued_bytes)
        self._answers = ThreadPoolExecutor(2, "answer")
        self._waiters: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open(load_catalogue(config.profiles()))

    @property
    def _shard(self) -> Shard:
        if self._opened is None:
            raise Overloaded(self._fault, _OPEN_AGAIN_S)
        return self._opened

    def _open(self, catalogue: Catalogue) -> None:
        """Open the shard; again and again where its journal is in use, damaged, or on a failing disk.

        Ray would give an actor up whose constructor raises. This one says what is wrong to whoever asks.
        """
        warehouse, label = Warehouse(self._config.clickhouse, require_migrated), str(self._number)
        warehouse.on_insert = lambda table, seconds: self._metrics.observe(INSERT_SECONDS, (label, table), seconds)
        try:
            shard = Shard(self._number, self._config, catalogue, warehouse)
        except JournalError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.critical("%s", error)
            again = threading.Timer(_OPEN_AGAIN_S, self._open_or_end, (catalogue,))
            again.daemon = True
            again.start()
            return
        shard.on_anomaly = self._announce
        freeze_heap()
        shard.start()
        self._opened = shard
        self._metrics.keep_up(partial(readings, shard), f"{shard.name}-metrics")

    def _admit(self, lane: Lane) -> None:
        self._shard.admission.check(lane)

    def _open_or_end(self, catalogue: Catalogue) -> None:
        """`_open` in a thread, where nobody would see it fail: Ray sees the process end, and starts another."""
        try:
            self._open(catalogue)
        except Exception as error:
            log.critical("ending the process: shard %d cannot be opened", self._number, exc_info=error)
            os._exit(70)

    def _commit(self, submissions: Sequence[bytes]) -> list[Receipt]:
        return self._shard.commit(submissions)

    async def ping(self) -> None:
        """A sign of life, from the event loop alone: neither a slow disk nor a long query delays it."""

    async def submit(self, submission: bytes, lane: Lane) -> tuple[int, int, int, bytes]:
        """Make a submission durable; the fields of its `Receipt`. Raises as `GroupCommit.submit` does."""
        receipt = await self._commits.submit(submission, lane)
        return receipt.accepted, receipt.duplicates, receipt.dead_lettered, receipt.duplicate_rows

    async def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Latest value of every signal of a vehicle."""
        return await self._answer(self._shard.latest, fleet, vehicle_id)

    async def vehicles(self, fleet: str) -> list[dict[str, Any]]:
        """The fleet's vehicles of this shard."""
        return await self._answer(self._shard.vehicle_list, fleet)

    async def positions(self, fleet: str) -> dict[str, Any]:
        """Where the fleet's vehicles of this shard are, in columns."""
        return await self._answer(self._shard.positions, fleet)

    async def summary(self, fleet: str) -> dict[str, Any]:
        """This shard's part of the fleet in numbers."""
        return await self._answer(self._shard.summary, fleet)

    async def unstored_dead_letters(self, fleet: str) -> int:
        """The fleet's dead letters that ClickHouse lacks."""
        return await self._answer(self._shard.unstored_dead_letters, fleet)

    async def ledger(self, fleet: str, start: int, end: int) -> dict[str, Any]:
        """This shard's part of the fleet's ledger, by hour."""
        return await self._answer(account_answers.ledger_by_hour, self._shard, fleet, start, end)

    async def gaps(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Frames that never came, by session of a vehicle."""
        return await self._answer(account_answers.gaps_of, self._shard, fleet, vehicle_id)

    async def anomalies(
        self, fleet: str, vehicle_id: str | None, kind: str | None, start: int | None, end: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """Live anomalies."""
        return await self._answer(self._shard.anomalies, fleet, vehicle_id, kind, start, end, limit)

    async def events(self, cursor: int, timeout_s: float) -> tuple[int, list[dict[str, Any]]]:
        """Wait until anomalies change after `cursor`, at most `timeout_s`; a negative cursor asks for the newest."""
        self._loop = asyncio.get_running_loop()
        if cursor < 0:
            newest, _ = await self._answer(self._shard.anomalies_since, _NEWEST)
            return newest, []
        # Registered before looking: what changes after the look wakes it.
        woken = self._loop.create_future()
        self._waiters.add(woken)
        try:
            newest, changed = await self._answer(self._shard.anomalies_since, cursor)
            if not changed:
                await asyncio.wait_for(woken, timeout_s)
                newest, changed = await self._answer(self._shard.anomalies_since, cursor)
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(woken)
        return newest, changed

    async def forget(self, fleet: str, vehicle_id: str, patience_s: float, letters_only: bool) -> dict[str, int]:
        """Forget a vehicle; what was removed, by place: see `Shard.forget`.

        Raises:
            Overloaded: it is decided, and not done within `patience_s`; the shard goes on with it by itself.
            JournalError: the disk refused, and nothing changed.
        """
        begun = await self._commits.between(partial(self._shard.forget, fleet, vehicle_id, letters_only=letters_only))
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(begun.done)), patience_s)
        except TimeoutError as error:
            why = self._shard.store_error or "much waits to be stored or deleted"
            message = f"shard {self._number} is still forgetting the vehicle, and goes on by itself: {why}"
            raise Overloaded(message, _FORGET_AGAIN_S) from error

    async def status(self) -> dict[str, Any]:
        """How the shard is, whether it is draining, and the process that holds it."""
        return await self._answer(self._shard.status) | {"draining": self._commits.draining, "pid": os.getpid()}

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work, finish what is in flight, checkpoint; whether everything reached ClickHouse."""
        await self._commits.drain()
        if self._opened is None:
            return False
        return await self._answer(lambda: self._shard.close(timeout_s=timeout_s))

    async def _answer(self, function: Callable[..., _T], *arguments: Any) -> _T:  # noqa: ANN401
        return await asyncio.get_running_loop().run_in_executor(self._answers, function, *arguments)

    def _announce(self) -> None:
        """From the processing thread: wake who waits for anomalies."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for woken in self._waiters:
            if not woken.done():
                woken.set_result(None)
