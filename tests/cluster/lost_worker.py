"""Two hosts take frames under a release from before, and this one is rolled out; then things die.

`canfleet up` and ClickHouse are killed and started again, one host dies, another comes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from actors.running import code_here
from canfleet.benchmark.verify import wait_until
from pipeline.errors import CanfleetError
from tests.chaos.client import Client
from tests.cluster import releases
from tests.cluster.course import Course, titled
from tests.cluster.hosts import NETWORK, Host
from tests.cluster.launching import Operator, ready, spread

_BAR_S: Final = 15.0
_START_S: Final = 300.0
_JOIN_S: Final = 180.0
_END_S: Final = 60.0
_AVAILABLE: Final = 0.999
_DASHBOARD: Final = "http://127.0.0.1:8265"
_RENEWED: Final = ("PartitionActor", "DirectoryActor", "ServeReplica")
"""Everything that a release replaces."""


async def lost_worker(course: Course) -> None:
    """The whole course, from `ray up` to `ray down`."""
    head, worker = course.network.host("head", 10), course.network.host("worker-1", 11)
    course.say(f"from {releases.named(course.before)} to this checkout")
    before = releases.build(course.before, course.network.folder / "before")
    now = releases.build(None, course.network.folder / "now")
    async with course.clickhouse() as clickhouse:
        # The second worker is written down from the start, and does not exist yet.
        workers = [worker.address, f"{NETWORK}.12"]
        operator = Operator(course.network, clickhouse, head.address, workers, release=before)
        await course.step("ray up", operator.up())
        await course.step("ready", ready(head, _START_S))
        await course.step("the worker serves HTTP too", ready(worker, _JOIN_S))
        async with course.load(operator, head, course.calm_s) as client:
            await course.step("this release is rolled out", _rolled(course, operator, [head, worker], now, client))
            await asyncio.sleep(course.calm_s)
            await course.step("canfleet up killed and started again", _replaced(course, operator, head, client))
            await asyncio.sleep(course.calm_s)
            await course.step("serve deploy", _served(course, operator, [head, worker], client))
            await asyncio.sleep(course.calm_s)
            await course.step("ClickHouse killed and started again", course.restart_clickhouse())
            await asyncio.sleep(course.calm_s)
            await _lose(course, worker, client)
            await asyncio.sleep(course.calm_s)
            other = course.network.host("worker-2", 12)
            await course.step("a new host joins", _joined(other))
            await course.step("the HTTP API is replaced, and spread over it", spread(operator, other, _JOIN_S))
            await _expect_code(course, operator, [head, other])
        if course.report["availability"] < _AVAILABLE:
            course.faults.append(f"only {course.report['availability']:.4%} of requests within three retries")
        await course.stop(operator, head, [other])


async def _rolled(course: Course, operator: Operator, hosts: list[Host], release: Path, client: Client) -> None:
    """The release of this checkout, on every host, in every process of the platform."""
    log, old = hosts[0].home / "canfleet.log", _processes(hosts, *_RENEWED)
    failures = _failures(client)
    await operator.roll(release)
    course.report["failed_while_rolled"] = _failures(client) - failures
    if "renewing the platform" not in log.read_text():
        course.faults.append("the release was not found to be another one")
    waited = await asyncio.to_thread(wait_until, lambda: not old & _processes(hosts, *_RENEWED), _END_S)
    if waited >= _END_S:
        course.faults.append(f"processes of the release before go on: {sorted(old & _processes(hosts, *_RENEWED))}")
    await _expect_code(course, operator, hosts)


def _failures(client: Client) -> int:
    """Answers so far that were no acknowledgement."""
    return sum(client.answers.values()) - client.answers["202"]


def _processes(hosts: list[Host], *titles: str) -> set[int]:
    """Those of actors of these classes."""
    return {pid for host in hosts for title in titles for pid in host.processes(f"ray::{title}")}


async def _expect_code(course: Course, operator: Operator, hosts: list[Host]) -> None:
    """Hosts have this checkout's code installed."""
    for host in hosts:
        said = await operator.on(
            host, "~/venv/bin/python -c 'from actors.running import code_here; print(code_here())'"
        )
        if code_here() not in said:
            course.faults.append(f"{host.name} has other code: {said}")


async def _replaced(course: Course, operator: Operator, head: Host, client: Client) -> None:
    """SIGKILL for `canfleet up`, and the line again that started it: nobody may notice."""
    failures = _failures(client)
    log = head.home / "canfleet.log"
    before = log.read_text().count("canfleet is ready")
    await operator.ray("exec", f"kill -KILL {operator.pid_of_up}; {operator.start_of_up}")
    waited = await asyncio.to_thread(wait_until, lambda: log.read_text().count("canfleet is ready") > before, _JOIN_S)
    if waited >= _JOIN_S:
        raise CanfleetError(f"canfleet up was not ready again:\n{log.read_text()[-3000:]}")
    failed = _failures(client) - failures
    course.report["failed_while_up_was_replaced"] = failed
    if failed:
        course.faults.append(f"{failed} requests failed while canfleet up was killed and started again")


async def _served(course: Course, operator: Operator, hosts: list[Host], client: Client) -> None:
    """Every replica replaced by Serve's own configuration file: nobody may notice."""
    failures = _failures(client)
    old = _processes(hosts, "ServeReplica")
    await operator.ray("exec", f"serve deploy --address {_DASHBOARD} ~/release/serve.yaml")

    def replaced() -> bool:
        now = _processes(hosts, "ServeReplica")
        return not old & now and len(now) >= len(old)

    if await asyncio.to_thread(wait_until, replaced, _JOIN_S) >= _JOIN_S:
        raise CanfleetError(f"serve deploy has not replaced {sorted(old & _processes(hosts, 'ServeReplica'))}")
    failed = _failures(client) - failures
    course.report["failed_while_served"] = failed
    if failed:
        course.faults.append(f"{failed} requests failed while replicas were replaced by serve deploy")


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
