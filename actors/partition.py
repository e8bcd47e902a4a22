"""The partition actor: a Ray shell around one shard, which groups what comes in while a commit is under way."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import require_migrated
from pipeline.config import CanfleetConfig
from pipeline.decode.catalogue import Catalogue
from pipeline.decode.databases import load_catalogue
from pipeline.errors import JournalError, Overloaded
from pipeline.shard.shard import Shard

_T = TypeVar("_T")
_NEWEST: Final = (1 << 63) - 1
_OPEN_AGAIN_S: Final = 5.0

log = logging.getLogger(__name__)


class PartitionActor:
    """Holds one shard. An async actor: the commit runs in one thread, answers in another, and neither blocks `submit`.

    Ray restarts it after a crash, and the shard then recovers from its journal.
    """

    def __init__(self, number: int, config: CanfleetConfig) -> None:
        """Open the shard and start its loops; ready when this returns, unless the shard's journal cannot be used."""
        self._config = config
        self._number = number
        self._opened: Shard | None = None
        self._fault = ""
        self._commits = ThreadPoolExecutor(1, "commit")
        self._answers = ThreadPoolExecutor(2, "answer")
        self._waiting: list[tuple[bytes, asyncio.Future[tuple[int, int, int]]]] = []
        self._waiting_bytes = 0
        self._committing: asyncio.Task[None] | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining = False
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
        try:
            shard = Shard(self._number, self._config, catalogue, Warehouse(self._config.clickhouse, require_migrated))
        except JournalError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.critical("%s", error)
            again = threading.Timer(_OPEN_AGAIN_S, self._open_or_end, (catalogue,))
            again.daemon = True
            again.start()
            return
        shard.on_anomaly = self._announce
        shard.start()
        self._opened = shard

    def _open_or_end(self, catalogue: Catalogue) -> None:
        """`_open` in a thread, where nobody would see it fail: Ray sees the process end, and starts another."""
        try:
            self._open(catalogue)
        except Exception as error:
            log.critical("ending the process: shard %d cannot be opened", self._number, exc_info=error)
            os._exit(70)

    async def submit(self, submission: bytes) -> tuple[int, int, int]:
        """Make a submission durable: rows accepted, duplicate, dead-lettered.

        Whatever arrives while a commit is under way becomes the next group and shares its fsync.

        Raises:
            Overloaded: the queue is full or the shard drains; nothing was accepted.
            JournalError: the disk refused; nothing was accepted.
        """
        if self._draining:
            raise Overloaded(f"shard {self._number} is shutting down", 2.0)
        if self._waiting_bytes + len(submission) > self._config.shard.max_queued_bytes and self._waiting:
            raise Overloaded(f"{self._shard.name}: {self._waiting_bytes >> 20} MiB wait for their commit", 1.0)
        result: asyncio.Future[tuple[int, int, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, result))
        self._waiting_bytes += len(submission)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        return await result

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._commit(group)
        finally:
            self._committing = None

    async def _commit(self, group: list[tuple[bytes, asyncio.Future[tuple[int, int, int]]]]) -> None:
        submissions = [submission for submission, _ in group]
        try:
            receipts = await asyncio.get_running_loop().run_in_executor(self._commits, self._shard.commit, submissions)
        except Exception as error:  # noqa: BLE001 handed to every caller of the group
            for _, result in group:
                if not result.done():
                    result.set_exception(error)
        else:
            for (_, result), receipt in zip(group, receipts, strict=True):
                if not result.done():
                    result.set_result((receipt.accepted, receipt.duplicates, receipt.dead_lettered))
        finally:
            self._waiting_bytes -= sum(map(len, submissions))

    async def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Latest value of every signal of a vehicle."""
        return await self._answer(self._shard.latest, fleet, vehicle_id)

    async def vehicles(self, fleet: str) -> list[dict[str, Any]]:
        """The fleet's vehicles of this shard."""
        return await self._answer(self._shard.vehicle_list, fleet)

    async def summary(self, fleet: str) -> dict[str, Any]:
        """This shard's part of the fleet in numbers."""
        return await self._answer(self._shard.summary, fleet)

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

    async def status(self) -> dict[str, Any]:
        """How the shard is, and whether it is draining."""
        return await self._answer(self._shard.status) | {"draining": self._draining}

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work, finish what is in flight, checkpoint; whether everything reached ClickHouse."""
        self._draining = True
        while self._committing is not None:
            await asyncio.sleep(0.01)
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
