"""A long run at one rate: whether any process of the platform goes on growing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from canfleet import api
from canfleet.benchmark.load import NOTHING, Target
from canfleet.benchmark.processes import family
from canfleet.benchmark.verify import wait_until
from pipeline.errors import CanfleetError
from simulator.fleet import Fleet, warm_up
from simulator.run import run_fleet
from simulator.sender import Sender

_EVERY_S: Final = 10.0
_SETTLED: Final = 1 / 6
"""The share of the run after which the platform knows its fleet: ten minutes of an hour."""
_WINDOW: Final = 1 / 60
"""The share of the run whose median counts, at each end: a minute of an hour."""
_STORE_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of one process at one moment; `at_s` counts from the start of the load."""

    at_s: float
    pid: int
    name: str
    rss: int


def measure_soak(target: Target, rate: float, vehicles: int, duration_s: float) -> dict[str, Any]:
    """Send `rate` frames/s for `duration_s`, and note every process's memory meanwhile.

    Raises:
        CanfleetError: the platform refused a request for good, or ended; or it is not on this machine.
    """
    if target.pid is None:
        raise CanfleetError("memory is read from /proc: leave --url out, so that the benchmark starts the platform")
    return asyncio.run(_measure(target, target.pid, rate, vehicles, duration_s))


async def _measure(target: Target, pid: int, rate: float, vehicles: int, duration_s: float) -> dict[str, Any]:
    warm_up()
    samples: list[Memory] = []
    async with Sender(target.url, target.key, connections=16) as sender:
        fleet = Fleet(vehicles, rate / vehicles, injections=NOTHING, start_us=time.time_ns() // 1000)
        sampling = asyncio.create_task(_sample(pid, samples))
        try:
            results = await run_fleet(fleet, sender, duration_s=duration_s, frames_per_s=rate, zstd=True)
        finally:
            sampling.cancel()
    ledger = await asyncio.to_thread(_settled_ledger, target)
    return {
        "rate": rate,
        "duration_s": duration_s,
        "client": results.as_json(),
        "ledger": ledger,
        "processes": growth(samples, duration_s),
        "checks": {
            "every acknowledged frame is accepted": ledger["accepted"] == results.acknowledged,
            "every accepted frame is stored": ledger["stored"] == ledger["accepted"],
        },
    }


async def _sample(pid: int, samples: list[Memory]) -> None:
    began = time.monotonic()
    while True:
        found = await asyncio.to_thread(family, pid)
        at_s = time.monotonic() - began
        samples += [Memory(at_s, one, usage.name, usage.rss) for one, usage in found.items()]
        await asyncio.sleep(_EVERY_S)


def growth(samples: Iterable[Memory], duration_s: float) -> list[dict[str, Any]]:
    """For each process that was there when the platform had settled: its MiB then and at the end, and the growth.

    Both are medians over a sixtieth of the run. `end_mib` and `growth` are None where the process did not live to the
    end, which is a failure of its own. The largest growth comes first.
    """
    settled, window = duration_s * _SETTLED, duration_s * _WINDOW
    names: dict[int, str] = {}
    early: dict[int, list[int]] = {}
    late: dict[int, list[int]] = {}
    for sample in samples:
        names[sample.pid] = sample.name
        if settled <= sample.at_s < settled + window:
            early.setdefault(sample.pid, []).append(sample.rss)
        elif sample.at_s >= duration_s - window:
            late.setdefault(sample.pid, []).append(sample.rss)
    rows = [_row(names[pid], pid, early, late) for pid in early]
    return sorted(rows, key=lambda row: -1 if row["growth"] is None else row["growth"], reverse=True)


def _row(name: str, pid: int, early: Mapping[int, list[int]], late: Mapping[int, list[int]]) -> dict[str, Any]:
    settled = statistics.median(early[pid])
    end = statistics.median(late[pid]) if pid in late else None
    return {
        "process": name,
        "pid": pid,
        "settled_mib": settled / 2**20,
        "end_mib": None if end is None else end / 2**20,
        "growth": None if end is None else end / settled - 1,
    }


def _settled_ledger(target: Target) -> dict[str, Any]:
    latest: dict[str, Any] = {}

    def nothing_pending() -> bool:
        latest.update(api.get(target.url, "/v1/ledger", target.key))
        return not latest["pending"]

    wait_until(nothing_pending, _STORE_TIMEOUT_S, 1.0)
    return {name: latest[name] for name in ("received", "accepted", "duplicates", "stored", "pending")}
