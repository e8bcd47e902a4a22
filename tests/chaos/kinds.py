"""Every kind of fault there is for a platform, and the seeded order in which they come."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

from tests.chaos.clickhouse_faults import Broken, KillClickHouse, Refused, Slow, StopClickHouse
from tests.chaos.clock_faults import Clocks, ClockSkew
from tests.chaos.disk_faults import DiskFull, PowerCut, TornJournal
from tests.chaos.fault import Fault, Kill, KillEverything, KillUp, Stop
from tests.chaos.move_faults import MoveShard
from tests.chaos.processes import Role
from tests.chaos.subject import Subject
from tests.loop_disk import LoopDisk

_HOUR_US: Final = 3_600_000_000
_KILLED: Final = {
    "gateway": Role.GATEWAY,
    "query": Role.QUERY,
    "partition": Role.PARTITION,
    "directory": Role.DIRECTORY,
    "controller": Role.CONTROLLER,
    "haproxy": Role.HAPROXY,
    "raylet": Role.RAYLET,
    "gcs": Role.GCS,
}


def every_fault(
    subject: Subject, clocks: Clocks, no_disk: str | None, power: LoopDisk | str, actors: int
) -> list[Fault]:
    """All kinds; `no_disk` is why the journals have no small disk, `power` the disk whose power can be cut,
    `actors` how many partition actors there are at least."""
    faults: list[Fault] = [Kill(name, subject, role) for name, role in _KILLED.items()]
    faults += [Stop("gateway", subject, Role.GATEWAY), Stop("partition", subject, Role.PARTITION)]
    if subject.proxy is None:
        faults += [Kill("clickhouse", subject, Role.CLICKHOUSE), Stop("clickhouse", subject, Role.CLICKHOUSE)]
    else:
        faults += [KillClickHouse(subject), StopClickHouse(subject)]
        faults += [Refused(subject.proxy), Broken(subject.proxy), Slow(subject.proxy)]
    faults += [KillEverything(subject), KillUp(subject), TornJournal(subject), PowerCut(subject, power)]
    faults += [DiskFull(subject.data_dir / "shards", no_disk)]
    faults += [MoveShard(subject, actors)]
    faults += [ClockSkew("ahead", clocks, _HOUR_US), ClockSkew("late", clocks, -24 * _HOUR_US)]
    return faults


def in_turn(faults: Sequence[Fault], rng: random.Random) -> Iterator[Fault]:
    """The faults for ever: all of them in an order of chance, then all again in another one."""
    while True:
        yield from rng.sample(faults, len(faults))
