"""Group commit: whatever waits while a commit is under way shares the next one, the most urgent first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias, TypeVar

from pipeline.errors import Overloaded
from pipeline.lanes.lane import Lane
from pipeline.lanes.queue import AgeingQueue, Entry
from pipeline.shard.commit import Receipt

GROUP_BYTES: Final = 256 << 10
"""Most bytes of one group: what a critical request has before it is the rest of the group under way."""

_T = TypeVar("_T")
_Waiting: TypeAlias = tuple[bytes, "asyncio.Future[Receipt]"]


class GroupCommit:
    """Queues submissions and commits them group by group in one thread. All calls on one event loop."""

    def __init__(
        self,
        admit: Callable[[Lane], None],
        commit: Callable[[Sequence[bytes]], list[Receipt]],
        max_queued_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Commit with `commit`, one call at a time, what `admit` does not refuse by raising."""
        self._admit = admit
        self._commit = commit
        self._queue: AgeingQueue[_Waiting] = AgeingQueue(max_queued_bytes, clock)
        self._thread = ThreadPoolExecutor(1, "commit")
        self._committing: asyncio.Task[None] | None = None
        self.draining = False
        """Whether new submissions are refused because the shard ends."""

    async def submit(self, submission: bytes, lane: Lane) -> Receipt:
        """Make a submission durable.

        Raises:
            Overloaded: its lane is full, or the shard has no room for it or drains; nothing was accepted.
            JournalError: the disk refused; nothing was accepted.
        """
        if self.draining:
            raise Overloaded("the shard is shutting down", 2.0)
        self._admit(lane)
        result: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._queue.push(lane, len(submission), (submission, result))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        return await result

    async def between(self, work: Callable[[], _T]) -> _T:
        """Run `work`, which writes into the journal too, in the thread that commits: between two groups.

        Raises:
            Overloaded: the shard drains.
        """
        if self.draining:
            raise Overloaded("the shard is shutting down", 2.0)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def drain(self) -> None:
        """Refuse new submissions, and wait until those that were taken in are answered."""
        self.draining = True
        if self._committing is not None:
            await self._committing

    async def _commit_all(self) -> None:
        try:
            while entries := self._queue.take(GROUP_BYTES):
                group = self._admitted(entries)
                if group:
                    await self._commit_group(group)
        finally:
            self._committing = None

    def _admitted(self, entries: list[Entry[_Waiting]]) -> list[_Waiting]:
        """The entries that still find room: while they waited, others were committed and took it."""
        admitted = []
        for entry in entries:
            try:
                self._admit(entry.lane)
            except Exception as error:  # noqa: BLE001 handed to the caller
                _, result = entry.item
                if not result.done():
                    result.set_exception(error)
            else:
                admitted.append(entry.item)
        return admitted

    async def _commit_group(self, group: list[_Waiting]) -> None:
        submissions = [submission for submission, _ in group]
        try:
            receipts = await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, submissions)
        except Exception as error:  # noqa: BLE001 handed to every caller of the group
            for _, result in group:
                if not result.done():
                    result.set_exception(error)
        else:
            for (_, result), receipt in zip(group, receipts, strict=True):
                if not result.done():
                    result.set_result(receipt)
