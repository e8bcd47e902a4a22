"""`python -m tests.edge.outage`: a vehicle's network is cut for minutes and its process killed twice; is all there?

A bus with 500 frames/s, a vehicle on it in a process of its own, a TCP proxy, and a platform. The proxy refuses,
swallows and resets connections, a third of the cut each. In the middle the vehicle gets SIGKILL and is started again,
and once more when the cut is over and it has begun to send its backlog; after that the network still breaks now and
then. In the end every frame that the vehicle said it had taken is looked for in ClickHouse. Exits 1 where a promise is
broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.errors import CanfleetError
from simulator import FLEET_DBC
from tests.chaos.proxy import TcpProxy
from tests.edge.outage_bus import Bus
from tests.edge.outage_verdict import Taken, Verdict, verdict

_HERE: Final = Path(__file__).parent
_STORED_SINCE: Final = """
SELECT count() AS n FROM frames
WHERE vehicle_id = {vehicle:String} AND toUnixTimestamp64Micro(received_at) >= {healed:Int64}
"""
_DOWN_S: Final = 1.0
_BREAK_BYTES: Final = 20_000
"""A request of 1,000 frames has half as many: some of them break in the middle, or before their answer."""
_BREAKING_S: Final = 2.0
_STORE_TIMEOUT_S: Final = 180.0
_END_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done.

    Attributes:
        cut_s: how long the network is cut.
        steady_s: how long it works before, and after.
        rate: frames/s on the bus.
        max_bytes: the spool's bound.
        longest_pause_s: of the uploader between two tries.
        vehicle: its id.
    """

    cut_s: float
    steady_s: float = 15.0
    rate: float = 500.0
    max_bytes: int = 32 << 20
    longest_pause_s: float = 60.0
    vehicle: str = "outage-1"


class Vehicle:
    """The vehicle's process, which is killed and started again on the same folder.

    Attributes:
        taken: what it said.
        lives: when it was started, µs since 1970.
        counts: what it printed at its end.
    """

    def __init__(self, folder: Path, plan: Plan, bus: Bus, url: str, key: str) -> None:
        self.taken: Taken = {}
        self.lives: list[int] = []
        self.counts: dict[str, Any] = {}
        self._bus = bus
        arguments = [str(folder), plan.vehicle, url, key, str(plan.max_bytes), str(plan.longest_pause_s)]
        self._command = [sys.executable, str(_HERE / "outage_vehicle.py"), *arguments]
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and wait until it hears the bus."""
        bus = json.dumps({"host": "127.0.0.1", "port": self._bus.port})
        environment = {**os.environ, "PYTHONPATH": str(_HERE.parents[1]), "CAN_CONFIG": bus}
        self.lives.append(time.time_ns() // 1000)
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, env=environment
        )
        self._reading = asyncio.create_task(self._read(self._process))
        await asyncio.wait_for(self._bus.listened_to(), _END_TIMEOUT_S)

    async def end(self, number: signal.Signals) -> None:
        """Send it a signal, and read what it still has to say."""
        assert self._process is not None
        assert self._reading is not None
        self._bus.hang_up()
        self._process.send_signal(number)
        await asyncio.wait_for(self._reading, _END_TIMEOUT_S)
        status = await self._process.wait()
        wanted = 0 if number is signal.SIGTERM else -number
        if status != wanted:
            raise CanfleetError(f"the vehicle ended with status {status}")

    async def close(self) -> None:
        """End it where it still runs, because something failed."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while (line := await process.stdout.readline()).endswith(b"\n"):
            if line.startswith(b"{"):
                self.counts = json.loads(line)
                continue
            session, sequence, data = line.split()
            self.taken[int(session), int(sequence)] = int(data, 16)


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict, the most bytes the spool had, and the counts of the vehicle's last life."""

    verdict: Verdict
    spool_bytes: int
    counts: dict[str, Any]


async def run(
    plan: Plan, folder: Path, url: str, key: str, clickhouse: str, tell: Callable[[str], None] = lambda _: None
) -> Report:
    """Do all of it to the platform at `url`, which goes on running."""
    bus, proxy = Bus(plan.rate), TcpProxy(("127.0.0.1", int(url.rpartition(":")[2])))
    await bus.start()
    await proxy.start()
    vehicle = Vehicle(folder, plan, bus, f"http://127.0.0.1:{proxy.port}", key)
    sizes = [0]
    watching = asyncio.create_task(_watch(folder, sizes))
    warehouse = Warehouse.connect(WarehouseSettings(url=clickhouse))
    try:
        await vehicle.start()
        await asyncio.sleep(plan.steady_s)
        tell(f"cut after {len(vehicle.taken):,} frames")
        await _cut(plan, proxy, vehicle, tell)
        tell(f"the network is back; {sizes[-1] / 1e6:.1f} MB wait")
        healed_us = time.time_ns() // 1000
        await _stumble(plan, proxy, vehicle, warehouse, healed_us)
        tell("killed while it sends its backlog, and started again")
        await asyncio.sleep(plan.steady_s)
        await _until_stored(warehouse, plan.vehicle, vehicle.taken)
        await vehicle.end(signal.SIGTERM)
        await _until_stored(warehouse, plan.vehicle, vehicle.taken)
        found = verdict(warehouse, plan.vehicle, vehicle.taken, bus.heard, vehicle.lives[1:], healed_us)
    finally:
        watching.cancel()
        await vehicle.close()
        warehouse.close()
        await bus.stop()
        await proxy.refuse()
    return Report(found, max(sizes), vehicle.counts)


async def _cut(plan: Plan, proxy: TcpProxy, vehicle: Vehicle, tell: Callable[[str], None]) -> None:
    third = plan.cut_s / 3
    tell("connections are refused")
    await proxy.refuse()
    await asyncio.sleep(third)
    tell("requests are swallowed; killed in the middle")
    hole = await asyncio.start_server(_swallow, "127.0.0.1", 0)
    platform, proxy.target = proxy.target, hole.sockets[0].getsockname()
    await proxy.heal()
    await asyncio.sleep(third / 2)
    await _kill(vehicle)
    await asyncio.sleep(third / 2)
    tell("connections are reset")
    proxy.target, proxy.break_after = platform, 0
    proxy.reset()
    hole.close()
    await asyncio.sleep(third)
    await proxy.heal()


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass
    writer.close()


async def _stumble(plan: Plan, proxy: TcpProxy, vehicle: Vehicle, warehouse: Warehouse, healed_us: int) -> None:
    """Wait until the first frames come, kill the vehicle there, and break its connections when it is back."""
    parameters = {"vehicle": plan.vehicle, "healed": healed_us}
    deadline = time.monotonic() + _STORE_TIMEOUT_S
    while not (await asyncio.to_thread(warehouse.rows, _STORED_SINCE, parameters))[0]["n"]:
        if time.monotonic() > deadline:
            raise CanfleetError(f"nothing was stored in {_STORE_TIMEOUT_S:g} s after the cut")
        await asyncio.sleep(0.1)
    proxy.break_after = _BREAK_BYTES
    await _kill(vehicle)
    await asyncio.sleep(_BREAKING_S)
    proxy.break_after = None


async def _kill(vehicle: Vehicle) -> None:
    await vehicle.end(signal.SIGKILL)
    await asyncio.sleep(_DOWN_S)
    await vehicle.start()


async def _watch(folder: Path, sizes: list[int]) -> None:
    """Note the bytes of the spool, twice a second."""
    while True:
        await asyncio.sleep(0.5)
        total = 0
        for path in folder.glob("*.spool"):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue  # sent meanwhile
        sizes.append(total)


async def _until_stored(warehouse: Warehouse, vehicle: str, taken: Taken) -> None:
    """Wait until as many rows are there as frames were taken before, or the time is up: the verdict will tell."""
    wanted, deadline = len(taken), time.monotonic() + _STORE_TIMEOUT_S
    while time.monotonic() < deadline:
        [row] = await asyncio.to_thread(warehouse.rows, _STORED_SINCE, {"vehicle": vehicle, "healed": 0})
        if row["n"] >= wanted:
            return
        await asyncio.sleep(0.5)


def main() -> int:
    """Run it on a platform of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.edge.outage", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="how long the network is cut (default: 5)")
    parser.add_argument("--rate", type=float, default=500, help="frames per second on the bus (default: 500)")
    plan_of = parser.parse_args()
    plan = Plan(cut_s=plan_of.minutes * 60, rate=plan_of.rate)
    with tempfile.TemporaryDirectory(prefix="canfleet-outage-") as name:
        folder = Path(name)
        try:
            with ChildPlatform(folder / "data", 0, 0, 0, "--dbc", str(FLEET_DBC)) as platform:
                story = run(plan, folder / "spool", platform.url, platform.key, platform.clickhouse_url, _tell)
                report = asyncio.run(story)
        except CanfleetError as error:
            print(error, file=sys.stderr)
            return 1
    figures = report.verdict.as_json() | {"spool_bytes": report.spool_bytes, "last_life": report.counts}
    print(json.dumps(figures, indent=2))
    return 1 if report.verdict.faults() else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
