"""A run: load, faults in their seeded order, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from canfleet.benchmark.verify import wait_until
from pipeline.errors import CanfleetError
from tests.chaos.client import Client, Sent
from tests.chaos.clock_faults import Clocks
from tests.chaos.disk_faults import DiskFull, PowerCut, power_disk, small_disk
from tests.chaos.fault import Fault
from tests.chaos.kinds import every_fault, in_turn
from tests.chaos.recovery import Event
from tests.chaos.report import Report, make_report
from tests.chaos.subject import Subject
from tests.chaos.traffic import Traffic
from tests.chaos.verify import Verdict, verify
from tests.loop_disk import LoopDisk

_CALM_S: Final = 3.0
"""Load before the first fault."""
_SETTLE_TIMEOUT_S: Final = 120.0
_AGAIN: Final = 0.03
_AGAIN_WITHIN_S: Final = 180.0
"""Share of acknowledged requests that are sent once more, and how much later at most."""

_SETTINGS: Final[dict[str, Any]] = {"shard": {"checkpoint_interval_s": 15, "rollup_interval_s": 10}}
"""Checkpoints and rollups come more often than by default, so that faults meet them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        seed: decides on the frames, the faults, and their order; not on what the machine makes of them.
        rate: frames per second.
        every_s: from the start of one fault to that of the next; a fault that takes longer to heal delays it.
        seconds: how long faults are injected; None: until each was, once.
        faults: kinds; empty: all.
        external: ClickHouse is a process of its own, behind a proxy; otherwise the embedded one.
        settings: the platform's configuration, laid over `_SETTINGS`.
    """

    seed: int
    rate: float = 20_000
    every_s: float = 10
    seconds: float | None = None
    faults: Sequence[str] = ()
    external: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


def run(plan: Plan, say: Callable[[str], None]) -> Report:
    """Bring up a platform, do chaos to it, and judge it; `say` is told what happens.

    Raises:
        CanfleetError: the platform did not start, or does not answer in the end.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, ExitStack() as stack:
        folder = Path(name)
        # A full disk needs the journals on a small one, in memory: both kinds of disk cannot be had in one run.
        small = DiskFull.name in plan.faults or not plan.faults
        power: LoopDisk | str = "not asked for by its name, or disk-full is asked for too"
        if PowerCut.name in plan.faults and not small:
            power = stack.enter_context(power_disk(folder / "data"))
        no_disk = stack.enter_context(small_disk(folder / "data" / "shards")) if small else "not asked for"
        try:
            return asyncio.run(_Run(plan, say, no_disk, power).chaos(folder))
        except ExceptionGroup as group:
            # One task failed and ended the others.
            raise group.exceptions[0] from group


def _actors(plan: Plan) -> int:
    return int(plan.settings.get("scaling", {}).get("min_actors", 1))


class _Run:
    def __init__(self, plan: Plan, say: Callable[[str], None], no_disk: str | None, power: LoopDisk | str) -> None:
        self._plan = plan
        self._say = say
        self._no_disk = no_disk
        self._power = power
        self._random = random.Random(plan.seed)
        self._clocks = Clocks()
        self._events: list[Event] = []
        self._missed: list[str] = []
        self._ended_by_itself = 0
        self._over = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    async def chaos(self, folder: Path) -> Report:
        """The whole run."""
        plan = self._plan
        self._say("starting a platform …")
        async with Subject(folder, _SETTINGS | plan.settings, external=plan.external) as subject:
            keys = await subject.keys()
            faults, skipped = self._choose(
                every_fault(subject, self._clocks, self._no_disk, self._power, _actors(plan))
            )
            traffic = Traffic(plan.seed, plan.rate, time.time_ns() // 1000)
            async with (
                Client(subject.child.url, keys, traffic, plan.seed) as client,
                asyncio.TaskGroup() as self._tasks,
            ):
                self._began = asyncio.get_running_loop().time()
                load = self._tasks.create_task(self._load(client, traffic))
                watch = self._tasks.create_task(self._watch(subject))
                await self._inject(faults, client)
                seconds = asyncio.get_running_loop().time() - self._began
                await self._finish(load, client)
                self._say("waiting until everything is stored, then comparing …")
                verdict = await asyncio.to_thread(self._verify, subject, keys, traffic, client)
                watch.cancel()
            known = {
                "seed": plan.seed,
                "rate": plan.rate,
                "seconds": seconds,
                "restarts": subject.restarts,
                "ended_by_itself": self._ended_by_itself,
            }
        return make_report(client, self._events, verdict, skipped, self._missed, known)

    def _choose(self, known: list[Fault]) -> tuple[list[Fault], dict[str, str]]:
        """The faults to inject, and those that cannot be, with the reason."""
        names = {fault.name for fault in known}
        if unknown := set(self._plan.faults) - names:
            raise CanfleetError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
        wanted = set(self._plan.faults) or names
        skipped = {fault.name: reason for fault in known if fault.name in wanted and (reason := fault.impossible())}
        return [fault for fault in known if fault.name in wanted - skipped.keys()], skipped

    def _verify(self, subject: Subject, keys: list[str], traffic: Traffic, client: Client) -> Verdict:
        bad = [sent.number for sent in client.requests if sent.bad and sent.acknowledged]
        acknowledged, skews_us = client.acknowledged(), client.skews_us()
        return verify(subject.child.url, keys, subject.clickhouse_url, traffic, acknowledged, skews_us, bad)

    async def _load(self, client: Client, traffic: Traffic) -> None:
        """Send requests when they are due, whatever becomes of earlier ones, until it is over."""
        clock = asyncio.get_running_loop().time
        for number in itertools.count():
            await asyncio.sleep(max(0.0, self._began + traffic.due_s(number) - clock()))
            if self._over.is_set():
                return
            self._send_beside(self._send(client))
            await asyncio.sleep(0)  # requests are numbered in the order in which their tasks begin

    def _send_beside(self, sending: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, client: Client) -> None:
        sent = await client.send(self._clocks.skew_us)
        if sent.acknowledged and self._random.random() < _AGAIN:
            self._send_beside(self._send_again(client, sent))

    async def _send_again(self, client: Client, sent: Sent) -> None:
        """Later, or when it is over: then at once."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), _AGAIN_WITHIN_S * self._random.random() ** 2)
        await client.send_again(sent)

    async def _inject(self, faults: list[Fault], client: Client) -> None:
        clock = asyncio.get_running_loop().time
        rng = random.Random(self._plan.seed)
        await asyncio.sleep(_CALM_S)
        order = in_turn(faults, rng) if self._plan.seconds is not None else iter(rng.sample(faults, len(faults)))
        for fault in order:
            began = clock()
            if self._plan.seconds is not None and began - self._began > self._plan.seconds:
                return
            self._say(f"{began - self._began:7.1f} s  {fault.name}")
            try:
                await fault.inject(rng)
            except CanfleetError as error:
                self._missed.append(f"{fault.name}: {error}")
                continue
            self._events.append(Event(fault.name, began, clock(), began - self._began))
            await asyncio.sleep(fault.lasts_s)
            await fault.heal()
            await asyncio.sleep(max(0.0, began + self._plan.every_s - clock()))

    async def _watch(self, subject: Subject) -> None:
        """Start the platform again where it ends by itself, which it must not."""
        while True:
            await asyncio.sleep(0.5)
            if not subject.down and not subject.child.running:
                self._ended_by_itself += 1
                self._say("the platform has ended by itself:\n" + subject.child.last_lines())
                await subject.restart()

    async def _finish(self, load: asyncio.Task[None], client: Client) -> None:
        """Go on until the last fault is recovered from, then let every request be acknowledged."""
        last = self._events[-1] if self._events else None
        await asyncio.to_thread(
            wait_until, lambda: last is None or client.recovered_s(last.began_s, last.struck_s) is not None, 60.0
        )
        self._say(f"no more faults; {client.unsettled} requests are not acknowledged yet …")
        self._over.set()
        await load
        while self._sending:
            await asyncio.wait(self._sending)
        await asyncio.to_thread(wait_until, lambda: client.unsettled == 0, _SETTLE_TIMEOUT_S)
