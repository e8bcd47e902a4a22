"""The partition actor: a Ray shell around one shard, which groups what comes in while a commit is under way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from actors.group_commit import GroupCommit
from pipeline.clickhouse.client import Warehouse
from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.lanes.lane import Lane
from pipeline.shard.shard import Shard

_T = TypeVar("_T")
_SWITCH_S: Final = 0.0005
"""How long a thread may hold the interpreter while another waits for it; Python's 5 ms, several times in one commit,
would be most of an acknowledgement."""
_NEWEST: Final = (1 << 63) - 1


class PartitionActor:
    """Holds one shard. An async actor: the commit runs in one thread, answers in others, and neither blocks `submit`.

    Ray restarts it after a crash, and the shard then recovers from its journal.
    """

    def __init__(self, number: int, config: CanfleetConfig) -> None:
        """Open the shard and start its loops; ready when this returns."""
        sys.setswitchinterval(_SWITCH_S)
        catalogue = load_catalogue(config.profiles())
        self._shard = Shard(number, config, catalogue, Warehouse.connect(config.clickhouse))
        self._commits = GroupCommit(self._shard.admission.check, self._shard.commit, config.shard.max_queued_bytes)
        self._answers = ThreadPoolExecutor(2, "answer")
        self._waiters: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shard.on_anomaly = self._announce
        self._shard.start()

    async def submit(self, submission: bytes, lane: Lane) -> tuple[int, int, int]:
        """Make a submission durable: rows accepted, duplicate, dead-lettered. Raises as `GroupCommit.submit` does."""
        receipt = await self._commits.submit(submission, lane)
        return receipt.accepted, receipt.duplicates, receipt.dead_lettered

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
        """How the shard is."""
        return await self._answer(self._shard.status)

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work, finish what is in flight, checkpoint; whether everything reached ClickHouse."""
        await self._commits.drain()
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
