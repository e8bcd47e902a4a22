"""Two hosts take frames; `canfleet up` and ClickHouse are killed and started again, one host dies, another comes."""

from __future__ import annotations

import asyncio
from typing import Final

from canfleet.benchmark.verify import wait_until
from pipeline.errors import CanfleetError
from tests.chaos.client import Client
from tests.cluster.course import Course, titled
from tests.cluster.hosts import NETWORK, Host
from tests.cluster.launching import Operator, ready

_BAR_S: Final = 15.0
_START_S: Final = 300.0
_JOIN_S: Final = 180.0


async def lost_worker(course: Course) -> None:
    """The whole course, from `ray up` to `ray down`."""
    head, worker = course.network.host("head", 10), course.network.host("worker-1", 11)
    async with course.clickhouse() as clickhouse:
        # The second worker is written down from the start, and does not exist yet.
        operator = Operator(course.network, clickhouse, head.address, [worker.address, f"{NETWORK}.12"])
        await course.step("ray up", operator.up())
        await course.step("ready", ready(head, _START_S))
        await course.step("the worker serves HTTP too", ready(worker, _JOIN_S))
        async with course.load(operator, head, course.calm_s) as client:
            await course.step("canfleet up killed and started again", _replaced(course, operator, head, client))
            await asyncio.sleep(course.calm_s)
            await course.step("ClickHouse killed and started again", course.restart_clickhouse())
            await asyncio.sleep(course.calm_s)
            await _lose(course, worker, client)
            await asyncio.sleep(course.calm_s)
            other = course.network.host("worker-2", 12)
            await course.step("a new host joins", _joined(other))
            await course.step("the HTTP API is replaced, and spread over it", _spread(operator, other))
        await course.stop(operator, head, [other])


async def _replaced(course: Course, operator: Operator, head: Host, client: Client) -> None:
    """SIGKILL for `canfleet up`, and the line again that started it: nobody may notice."""
    failures = sum(client.answers.values()) - client.answers["202"]
    await operator.ray("exec", f"kill -KILL {operator.pid_of_up}; {operator.start_of_up}")
    log = head.home / "canfleet.log"
    waited = await asyncio.to_thread(wait_until, lambda: log.read_text().count("canfleet is ready") > 1, _JOIN_S)
    if waited >= _JOIN_S:
        raise CanfleetError(f"canfleet up was not ready again:\n{log.read_text()[-3000:]}")
    failed = sum(client.answers.values()) - client.answers["202"] - failures
    course.report["failed_while_up_was_replaced"] = failed
    if failed:
        course.faults.append(f"{failed} requests failed while canfleet up was killed and started again")


async def _lose(course: Course, worker: Host, client: Client) -> None:
    """The worker falls silent, with all that it holds."""
    held = {name: len(worker.processes(f"ray::{name}")) for name in ("PartitionActor", "ServeReplica")}
    course.say(f"{worker.name} holds {held}, and falls silent")
    if not all(held.values()):
        course.faults.append(f"the loss of a host that holds {held} says nothing")
    began = asyncio.get_running_loop().time()
    await asyncio.to_thread(worker.fall_silent)
    took = await course.recovered(client, began, asyncio.get_running_loop().time())
    course.report |= {"lost": held, "acknowledged_again_s": took}
    course.say(f"all vehicles acknowledged again after {took} s")
    if took is None or took > _BAR_S:
        course.faults.append(f"vehicles were acknowledged again after {took} s, not within {_BAR_S:g} s")


async def _joined(host: Host) -> None:
    """The autoscaler on the head finds the host, and starts Ray there."""
    waited = await asyncio.to_thread(wait_until, lambda: bool(titled([host], "raylet")), _JOIN_S)
    if waited >= _JOIN_S:
        raise CanfleetError(f"{host.name} has not joined within {_JOIN_S:g} s")


async def _spread(operator: Operator, host: Host) -> None:
    """SIGHUP replaces the replicas, and the new ones are spread over all hosts."""
    await asyncio.sleep(5)  # the raylet is there, and the cluster about to know it
    await operator.ray("exec", f"kill -HUP {operator.pid_of_up}")
    await ready(host, _JOIN_S)
