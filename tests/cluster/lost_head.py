"""The head dies with Ray's GCS, whose state is in a Redis outside; workers go on meanwhile, and it comes back."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.chaos.client import Client
from tests.cluster.course import Course
from tests.cluster.hosts import OUTSIDE, Host
from tests.cluster.launching import Operator, ready

_START_S: Final = 300.0
_AWAY_S: Final = 45.0
_REDIS_PORT: Final = 6390


async def lost_head(course: Course) -> None:
    """The whole course, from `ray up` to `ray down`."""
    head, *workers = (course.network.host(name, number) for number, name in enumerate(("head", "w1", "w2"), 10))
    async with course.clickhouse() as clickhouse:
        with _redis(course.network.folder / "redis") as password:
            redis = f"{OUTSIDE}:{_REDIS_PORT}", password
            operator = Operator(course.network, clickhouse, head.address, [one.address for one in workers], redis)
            await course.step("ray up", operator.up())
            await course.step("ready", ready(head, _START_S))
            for worker in workers:
                await course.step(f"{worker.name} serves HTTP too", ready(worker, _START_S))
            async with course.load(operator, workers[0], course.calm_s) as client:
                await _lose(course, operator, head, client)
            await course.stop(operator, head, workers)


async def _lose(course: Course, operator: Operator, head: Host, client: Client) -> None:
    clock = asyncio.get_running_loop().time
    held = {name: len(head.processes(f"ray::{name}")) for name in ("PartitionActor", "DirectoryActor", "ServeReplica")}
    course.say(f"the head holds {held}; all of its Ray and canfleet up are killed")
    before, began = dict(client.answers), clock()
    await asyncio.to_thread(head.kill_but_ssh)
    struck = clock()
    took = await course.recovered(client, began, struck, _AWAY_S)
    await asyncio.sleep(max(0.0, began + _AWAY_S - clock()))
    while_away = {name: client.answers[name] - before.get(name, 0) for name in client.answers}
    course.report |= {"head_held": held, "acknowledged_again_s": took, "answers_while_away": while_away}
    course.say(f"without the head: acknowledged again after {took} s; answers in {_AWAY_S:g} s: {while_away}")
    await course.step("ray up brings it back", operator.up("--restart-only"))
    await course.step("ready again", ready(head, _START_S))
    if took is None:
        course.faults.append(f"nothing was acknowledged in {_AWAY_S:g} s without the head")


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """Debian's Redis on the bridge, which keeps everything in memory; its password."""
    folder.mkdir()
    password = secrets.token_hex(16)
    settings = {"bind": OUTSIDE, "port": str(_REDIS_PORT), "requirepass": password, "save": "", "dir": str(folder)}
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    with (folder / "redis.log").open("w") as log:
        process = subprocess.Popen(["redis-server", *arguments], stdout=log, stderr=log)
    try:
        yield password
    finally:
        process.terminate()
        process.wait()
