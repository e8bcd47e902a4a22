"""The network is cut between two hosts which both live on, first for a moment, then until Ray gives one of them up.

The shared folder stays within reach of the host that is cut off, as with storage on a network of its own. Its actors,
and the directory, which is made to be there, can go on writing; so can vehicles on its side of the cut
(`tests/cluster/inside.py`). That is as hard as a split brain can be made.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final

import httpx

from canfleet.benchmark.verify import wait_until
from pipeline.errors import CanfleetError
from tests.chaos.client import Client
from tests.cluster.course import Course
from tests.cluster.hosts import Host
from tests.cluster.inside import FLEET, Inside
from tests.cluster.launching import Operator, ready, spread, url_of

_BAR_S: Final = 15.0
_START_S: Final = 300.0
_JOIN_S: Final = 180.0
_SHORT_S: Final = 3.0
"""Less than the 6 s after which Ray gives up a host that is silent."""
_LONG_S: Final = 30.0
_SETTLE_S: Final = 15.0
"""Behind the short cut, before looking at what it has changed: longer than any of Ray's checks."""
_GONE_S: Final = 60.0
_ACTORS: Final = ("ray::PartitionActor", "ray::DirectoryActor", "ray::ServeReplica")
_OLD: Final = ("ray::", "raylet", "haproxy")


async def cut_off(course: Course) -> None:
    """The whole course, from `ray up` to `ray down`."""
    head, worker = course.network.host("head", 10), course.network.host("worker-1", 11)
    course.others = (FLEET,)
    async with course.clickhouse() as clickhouse:
        operator = Operator(course.network, clickhouse, head.address, [worker.address])
        await course.step("ray up", operator.up())
        await course.step("ready", ready(head, _START_S))
        await course.step("the worker serves HTTP too", ready(worker, _JOIN_S))
        inside = Inside(worker, await _key(operator, head), course.network.folder / "inside")
        async with course.load(operator, head, course.calm_s) as client:
            await course.step("the directory is on the worker", _directory_to(head, worker))
            with inside:
                await asyncio.sleep(course.calm_s)
                await _cut_for_a_moment(course, [head, worker], client)
                await _cut_for_long(course, worker, client, inside)
                await course.step("the HTTP API is replaced, and spread over both", spread(operator, worker, _JOIN_S))
                await asyncio.sleep(course.calm_s)
        course.report["inside"] = await asyncio.to_thread(inside.verdict, clickhouse, course.faults)
        await course.stop(operator, head, [worker])


async def _key(operator: Operator, head: Host) -> str:
    async with httpx.AsyncClient(headers={"X-API-Key": operator.key}, timeout=20) as http:
        answer = await http.post(f"{url_of(head)}/v1/keys", json={"fleet": FLEET, "scopes": ["ingest"]})
        return str(answer.raise_for_status().json()["key"])


async def _directory_to(head: Host, worker: Host) -> None:
    """Kill the directory on the head until Ray has started it on the worker."""

    def there() -> bool:
        for pid in head.processes("ray::DirectoryActor"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(worker.processes("ray::DirectoryActor"))

    if await asyncio.to_thread(wait_until, there, _JOIN_S) >= _JOIN_S:
        raise CanfleetError("Ray does not start the directory on the worker")


async def _cut_for_a_moment(course: Course, hosts: Collection[Host], client: Client) -> None:
    """Shorter than what Ray takes notice of: nothing may move."""
    clock = asyncio.get_running_loop().time
    worker, before = list(hosts)[-1], _found(hosts, _ACTORS)
    answers, began = dict(client.answers), clock()
    course.say(f"{worker.name} is cut off for {_SHORT_S:g} s")
    worker.cut()
    await asyncio.sleep(_SHORT_S)
    worker.heal()
    took = await course.recovered(client, began, clock())
    await asyncio.sleep(_SETTLE_S)
    course.report["short"] = {"acknowledged_again_s": took, "answers": _since(answers, client)}
    course.say(f"all vehicles acknowledged again {took} s after the cut")
    if moved := before.keys() ^ _found(hosts, _ACTORS).keys():
        course.faults.append(f"a cut of {_SHORT_S:g} s ended or started processes: {moved}, of {before}")


async def _cut_for_long(course: Course, worker: Host, client: Client, inside: Inside) -> None:
    """Until Ray has given the worker up, and its shards are elsewhere; and then until nothing of the old is left."""
    clock = asyncio.get_running_loop().time
    old = _found([worker], _OLD)
    held = {title: sum(command.startswith(title) for command in old.values()) for title in _ACTORS}
    course.say(f"{worker.name} holds {held}, and is cut off for {_LONG_S:g} s")
    if not all(held.values()):
        course.faults.append(f"cutting off a host that holds {held} says nothing")
    answers, began = dict(client.answers), clock()
    worker.cut()
    struck = clock()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(course, worker, old, began))
        took = await course.recovered(client, began, struck)
        course.say(f"all vehicles acknowledged again after {took} s")
        then = dict(client.answers)
        await asyncio.sleep(max(0.0, began + _LONG_S - clock()))
        healed, fenced = clock(), not old.keys() & worker.processes(_ACTORS[0]).keys()
        worker.heal()
        course.say("the link is back")
        gone = await asyncio.to_thread(wait_until, lambda: not _found([worker], _OLD).keys() & old.keys(), _GONE_S)
        course.say(f"nothing of the old is left {gone:.1f} s later")
        back = await asyncio.to_thread(wait_until, lambda: bool(_found([worker], ["raylet"])), _JOIN_S)
        watching.cancel()
    own = inside.acknowledged(struck, healed)
    late = [at for at in own if took is None or at > began + took]
    course.report["long"] = {
        "held": held,
        "acknowledged_again_s": took,
        "answers": _since(answers, client),
        "answers_from_then_on": _since(then, client),
        "acknowledged_on_the_other_side": len(own),
        "the_last_of_them_s": round(max(own) - began, 1) if own else None,
        "old_gone_after_healing_s": round(gone, 1),
        "ray_back_after_healing_s": round(gone + back, 1),
    }
    if took is None or took > _BAR_S:
        course.faults.append(f"vehicles were acknowledged again after {took} s, not within {_BAR_S:g} s")
    if not fenced:
        course.faults.append("actors whose shards others had taken over went on, cut off as they were")
    if late:
        course.faults.append(f"{len(late)} acknowledgements by actors whose shards others had taken over")
    if left := {pid: command for pid, command in _found([worker], _OLD).items() if pid in old}:
        course.faults.append(f"left of before the cut: {left}")


def _since(before: Mapping[str, int], client: Client) -> dict[str, int]:
    """Answers since then, by kind."""
    return {name: n for name in client.answers if (n := client.answers[name] - before.get(name, 0))}


async def _watch(course: Course, host: Host, old: dict[int, str], began: float) -> None:
    """Say when each of the old processes ends."""
    left = dict(old)
    while left:
        now = await asyncio.to_thread(host.processes)
        for pid in left.keys() - now.keys():
            course.say(f"{asyncio.get_running_loop().time() - began:.1f} s after the cut ended {pid} {left.pop(pid)}")
        await asyncio.sleep(0.25)


def _found(hosts: Collection[Host], titles: Collection[str]) -> dict[int, str]:
    """Processes on the hosts whose command, or its file's name, begins with one of the titles."""
    return {
        pid: command[:60].strip()
        for host in hosts
        for pid, command in host.processes().items()
        if command.split(" ", 1)[0].rsplit("/", 1)[-1].startswith(tuple(titles))
    }
