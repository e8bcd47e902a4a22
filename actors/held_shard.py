"""One shard as its partition actor holds it: opened, kept open, handed on. Runs on an event loop; knows no Ray."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, TypeVar

from actors.group_commit import GroupCommit
from pipeline.clickhouse.client import Warehouse
from pipeline.config import CanfleetConfig
from pipeline.decode.catalogue import Catalogue
from pipeline.errors import Fenced, JournalError, Overloaded
from pipeline.heap import freeze_heap
from pipeline.journal.tenure import Tenure
from pipeline.lanes.lane import Lane
from pipeline.shard.commit import Receipt
from pipeline.shard.shard import Shard, shard_folder
from pipeline.shard.spans import CommitSpans
from pipeline.tracing.tracing import tracing_of

_T = TypeVar("_T")
_NEWEST: Final = (1 << 63) - 1
_OPEN_AGAIN_S: Final = 5.0
_FORGET_AGAIN_S: Final = 10.0
_CHECKPOINT_S: Final = 5.0
"""So long a checkpoint before a hand-over may take; the shard works meanwhile."""
_LOOPS_S: Final = 1.0
"""So long the loops of a shard that is handed on may take to end: an insert, where ClickHouse answers."""

log = logging.getLogger(__name__)


class HeldShard:
    """A shard, and what waits for it. The commit runs in one thread, answers in others; neither blocks `submit`."""

    def __init__(
        self, number: int, config: CanfleetConfig, catalogue: Catalogue, warehouse: Warehouse, answers: Executor
    ) -> None:
        """Open the shard and start its loops; open when this returns, unless its journal cannot be used."""
        self._number = number
        self._named = {"shard": f"shard-{number}"}
        self._config = config
        self._catalogue = catalogue
        self._warehouse = warehouse
        self._answers = answers
        self._tenure: Tenure | None = None
        self._opened: Shard | None = None
        self._left = False
        self._fault = ""
        self._spans = CommitSpans(number, tracing_of(config.tracing))
        self._commits = GroupCommit(self._admit, self._commit, config.shard.max_queued_bytes)
        self._waiters: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open()

    @property
    def opened(self) -> Shard | None:
        """The shard, where its journal could be opened."""
        return self._opened

    @property
    def _shard(self) -> Shard:
        if self._opened is None:
            raise Overloaded(self._fault, _OPEN_AGAIN_S)
        return self._opened

    def _open(self) -> None:
        """Open the shard; again and again where its journal is damaged or on a failing disk.

        Ray would give an actor up whose constructor raises. This one says what is wrong to whoever asks.
        """
        if self._left:
            return
        try:
            shard = self._begin()
        except Fenced:
            raise
        except JournalError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.critical("%s", error, extra=self._named)
            again = threading.Timer(_OPEN_AGAIN_S, self._open_or_end)
            again.daemon = True
            again.start()
            return
        shard.on_anomaly = self._announce
        freeze_heap()
        shard.loops.start()
        self._opened = shard

    def _begin(self) -> Shard:
        """The shard; in the folder of the first try, where an operator may be mending files."""
        if self._tenure is None:
            self._tenure = Tenure.begin(shard_folder(self._config.data_dir, self._number))
        else:
            self._tenure.check()
        return Shard(self._number, self._config, self._catalogue, self._warehouse, tenure=self._tenure)

    def _open_or_end(self) -> None:
        """`_open` in a thread, where nobody would see it fail: Ray sees the process end, and starts another."""
        try:
            self._open()
        except Exception as error:
            log.critical(
                "ending the process: shard %d cannot be opened", self._number, exc_info=error, extra=self._named
            )
            os._exit(70)

    def _admit(self, lane: Lane) -> None:
        try:
            self._shard.admission.check(lane)
        except JournalError:
            self._end_if_fenced()
            raise

    def _commit(self, submissions: Sequence[bytes]) -> list[Receipt]:
        self._spans.written(submissions)
        try:
            return self._shard.commit(submissions)
        except JournalError:
            self._end_if_fenced()
            raise

    def _end_if_fenced(self) -> None:
        """What looks like a failing disk may be a folder that another process has taken over: then this one ends."""
        if self._left:
            return
        try:
            self._shard.check_tenure()
        except Fenced as error:
            self._shard.loops.on_fatal(error)
        except JournalError:
            return

    # -- intake -------------------------------------------------------------------------------------------------

    async def submit(self, submission: bytes, lane: Lane) -> Receipt:
        """Make a submission durable. Raises as `GroupCommit.submit` does."""
        parent = self._spans.parent(submission)
        if parent is None:
            return await self._commits.submit(submission, lane)
        with self._spans.around(submission, parent):
            return await self._commits.submit(submission, lane)

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

    # -- answers ------------------------------------------------------------------------------------------------

    async def answer(self, ask: Callable[[Shard], _T]) -> _T:
        """What `ask` finds in the shard; it may wait for the shard's lock, so it runs in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._answers, ask, self._shard)

    async def events(self, cursor: int, timeout_s: float) -> tuple[int, list[dict[str, Any]]]:
        """Wait until anomalies change after `cursor`, at most `timeout_s`; a negative cursor asks for the newest."""
        self._loop = asyncio.get_running_loop()
        if cursor < 0:
            newest, _ = await self.answer(lambda shard: shard.anomalies_since(_NEWEST))
            return newest, []
        # Registered before looking: what changes after the look wakes it.
        woken = self._loop.create_future()
        self._waiters.add(woken)
        try:
            newest, changed = await self.answer(lambda shard: shard.anomalies_since(cursor))
            if not changed:
                await asyncio.wait_for(woken, timeout_s)
                newest, changed = await self.answer(lambda shard: shard.anomalies_since(cursor))
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(woken)
        return newest, changed

    async def status(self) -> dict[str, Any]:
        """How the shard is, whether it is draining, and the process that holds it."""
        return await self.answer(Shard.status) | {"draining": self._commits.draining, "pid": os.getpid()}

    def _announce(self) -> None:
        """From the processing thread: wake who waits for anomalies."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for woken in self._waiters:
            if not woken.done():
                woken.set_result(None)

    # -- the end ------------------------------------------------------------------------------------------------

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work, finish what is in flight, checkpoint; whether everything reached ClickHouse."""
        await self._commits.drain()
        if self._opened is None:
            return False
        return await self.answer(lambda shard: shard.close(timeout_s=timeout_s))

    async def prepare(self) -> None:
        """Make a hand-over short, while work goes on."""
        if self._opened is not None:
            await self.answer(lambda shard: shard.prepare_hand_over(timeout_s=_CHECKPOINT_S))

    async def hand_over(self) -> None:
        """Refuse new work, answer what is in flight, and release the journal: another actor goes on from it."""
        self._left = True
        await self._commits.drain()
        if self._opened is not None:
            await self.answer(lambda shard: shard.hand_over(timeout_s=_LOOPS_S))
        self._wake()
