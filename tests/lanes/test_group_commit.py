"""Group commit without Ray: what waits during a commit, in which groups it goes, and who is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from actors.group_commit import GROUP_BYTES, GroupCommit
from pipeline.errors import JournalError, Overloaded
from pipeline.lanes.lane import Lane
from pipeline.shard.commit import Receipt


class Disk:
    """A commit that a test holds up; it notes the groups it was given."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.may_go = threading.Semaphore(0)
        self.fails: Exception | None = None
        self.full: set[Lane] = set()

    def admit(self, lane: Lane) -> None:
        if lane in self.full:
            raise Overloaded(f"no room for {lane.name}")

    def commit(self, submissions: Sequence[bytes]) -> list[Receipt]:
        self.groups.append(list(submissions))
        self.may_go.acquire()
        if self.fails is not None:
            raise self.fails
        return [Receipt(len(one), 0, 0) for one in submissions]


def run(disk: Disk, test: Any, bound: int = 64 << 20) -> None:
    """Run `test(commits, start)`; `start` submits and returns the task once it waits."""

    async def main() -> None:
        commits = GroupCommit(disk.admit, disk.commit, bound)

        async def start(submission: bytes, lane: Lane = Lane.LIVE) -> asyncio.Task[Receipt]:
            task = asyncio.create_task(_awaited(commits.submit(submission, lane)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return task

        await test(commits, start)

    asyncio.run(main())


async def _awaited(call: Coroutine[Any, Any, Receipt]) -> Receipt:
    return await call


async def until_groups(disk: Disk, n: int) -> None:
    while len(disk.groups) < n:
        await asyncio.sleep(0.001)


def test_what_waits_shares_the_next_commit_and_critical_goes_first_and_alone() -> None:
    disk = Disk()

    async def test(_: GroupCommit, start: Any) -> None:
        tasks = [await start(b"first")]
        await until_groups(disk, 1)
        tasks += [await start(b"old", Lane.BACKFILL), await start(b"b"), await start(b"c"), await start(b"!", Lane(0))]
        disk.may_go.release(9)
        receipts = await asyncio.gather(*tasks)
        assert [receipt.accepted for receipt in receipts] == [5, 3, 1, 1, 1]
        assert disk.groups == [[b"first"], [b"!"], [b"b", b"c", b"old"]]

    run(disk, test)


def test_groups_are_bounded_in_bytes_and_one_large_submission_is_a_group() -> None:
    disk = Disk()

    async def test(_: GroupCommit, start: Any) -> None:
        half, large = bytes(GROUP_BYTES // 2), bytes(3 * GROUP_BYTES)
        tasks = [await start(b"first")]
        await until_groups(disk, 1)
        tasks += [await start(one) for one in (half, half, half, large)]
        disk.may_go.release(9)
        await asyncio.gather(*tasks)
        assert [len(group) for group in disk.groups] == [1, 2, 1, 1]

    run(disk, test)


def test_a_full_queue_refuses_normal_requests_and_still_takes_critical_ones() -> None:
    disk = Disk()

    async def test(_: GroupCommit, start: Any) -> None:
        tasks = [await start(b"first")]
        await until_groups(disk, 1)
        tasks.append(await start(bytes(100)))
        with pytest.raises(Overloaded):
            await (await start(b"x"))
        tasks.append(await start(b"x", Lane.CRITICAL))
        disk.may_go.release(9)
        await asyncio.gather(*tasks)
        assert disk.groups[1] == [b"x"]
        disk.may_go.release()
        await (await start(b"y"))

    run(disk, test, bound=100)


def test_who_finds_no_room_after_waiting_is_refused_and_the_rest_goes_on() -> None:
    disk = Disk()

    async def test(_: GroupCommit, start: Any) -> None:
        first = await start(b"first")
        await until_groups(disk, 1)
        live, old = await start(b"live"), await start(b"old", Lane.BACKFILL)
        disk.full = {Lane.BACKFILL}
        disk.may_go.release(9)
        await asyncio.gather(first, live)
        with pytest.raises(Overloaded):
            await old
        assert disk.groups == [[b"first"], [b"live"]]
        with pytest.raises(Overloaded):
            await (await start(b"old", Lane.BACKFILL))

    run(disk, test)


def test_a_failed_commit_reaches_its_whole_group_and_the_next_one_goes_on() -> None:
    disk = Disk()

    async def test(_: GroupCommit, start: Any) -> None:
        disk.fails = JournalError("full")
        first = await start(b"first")
        await until_groups(disk, 1)
        disk.may_go.release()
        with pytest.raises(JournalError):
            await first
        disk.fails = None
        disk.may_go.release()
        assert (await (await start(b"again"))).accepted == 5

    run(disk, test)


def test_draining_answers_what_came_before_and_refuses_what_comes_after() -> None:
    disk = Disk()

    async def test(commits: GroupCommit, start: Any) -> None:
        tasks = [await start(b"first"), await start(b"second")]
        draining = asyncio.create_task(commits.drain())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await commits.submit(b"late", Lane.CRITICAL)
        assert not draining.done()
        disk.may_go.release(9)
        await draining
        assert [(await task).accepted for task in tasks] == [5, 6]

    run(disk, test)
