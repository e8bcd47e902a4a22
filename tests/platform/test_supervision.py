"""`canfleet up` against SIGKILL of whatever it runs: the same traffic goes on through it all, and each frame is stored
once. One story, told in order, which ends the platform that test_partition_away.py has used before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_process import HostProcess
from platform_steps import count, eventually
from steady_traffic import SteadyTraffic

from canfleet.beside import NICENESS
from canfleet.child import ChildPlatform
from canfleet.family import Process, Run, descendants
from canfleet.run_file import RUN_FILE
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings

pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def traffic(own: ChildPlatform) -> Iterator[SteadyTraffic]:
    with SteadyTraffic(own.url, own.key) as running:
        yield running


def named(own: ChildPlatform, mark: str) -> list[Process]:
    """Processes of the platform with `mark` in their command line."""

    def command(process: Process) -> bytes:
        try:
            return Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return b""

    return [process for process in descendants(own.pid) if mark.encode() in command(process)]


def stored_once(warehouse: Warehouse, vehicle: str, wanted: int) -> bool:
    """Every frame up to the wanted one is there, and no frame twice; more may have come meanwhile."""
    eventually(lambda: count(warehouse, "frames", vehicle), lambda n: n >= wanted)
    rows = count(warehouse, "frames", vehicle)
    return rows == count(warehouse, "frames", vehicle, "uniqExact(session, sequence)") >= wanted


def niceness(own: ChildPlatform, mark: str) -> set[int]:
    found = named(own, mark)
    assert found, f"no process {mark}"
    return {os.getpriority(os.PRIO_PROCESS, process.pid) for process in found}


def threads(pid: int, name: str) -> list[int]:
    """Threads of a process that have this name; threads end while one looks."""

    def called(task: Path) -> str:
        try:
            return (task / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return ""

    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if called(task) == name]


def run_up(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "canfleet", "up", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_rays_dashboard_gives_way_to_what_acknowledges(own: ChildPlatform) -> None:
    for mark in ("dashboard/dashboard.py", "ray-dashboard-", "log_monitor.py", "ray::DashboardAgent"):
        assert niceness(own, mark) == {NICENESS}, mark
    for mark in ("ray::PartitionActor", "ray::ServeReplica", "gcs_server", "raylet/raylet"):
        assert niceness(own, mark) == {0}, mark


def test_what_clickhouse_does_gives_way_to_what_acknowledges(own: ChildPlatform, traffic: SteadyTraffic) -> None:
    traffic.wait_for(5)
    [clickhouse] = named(own, "ray::ClickHouseActor")
    mergers = eventually(lambda: threads(clickhouse.pid, "MergeMutate"), bool)
    assert {os.sched_getscheduler(thread) for thread in mergers} == {os.SCHED_IDLE}


def test_a_killed_raylet_brings_the_platform_down_and_up_again(own: ChildPlatform, traffic: SteadyTraffic) -> None:
    traffic.wait_for(10)
    [before] = named(own, "canfleet.platform_process")
    [raylet] = [process for process in descendants(own.pid) if process.name == "raylet"]
    os.kill(raylet.pid, signal.SIGKILL)
    eventually(lambda: before in descendants(own.pid), lambda there: not there)
    traffic.wait_for(10)
    [after] = named(own, "canfleet.platform_process")
    assert after.pid != before.pid
    assert "raylet died; starting again" in own.last_lines() or "ended with status" in own.last_lines()
    warehouse = Warehouse.connect(WarehouseSettings(url=own.clickhouse_url))
    assert stored_once(warehouse, traffic.vehicle, traffic.frames)
    warehouse.close()


def test_a_rolling_update_refuses_nothing(own: ChildPlatform, traffic: SteadyTraffic) -> None:
    before = {process.pid for process in named(own, "ray::ServeReplica")}
    traffic.wait_for(5)
    traffic.forget()
    os.kill(own.pid, signal.SIGHUP)
    eventually(own.last_lines, lambda lines: "\nreplaced\n" in lines, 90)
    traffic.wait_for(10)
    assert eventually(lambda: before & {p.pid for p in named(own, "ray::ServeReplica")}, lambda same: not same) == set()
    assert traffic.most_tries <= 3
    assert set(traffic.refusals) <= {503, "RemoteProtocolError"}


def test_after_sigkill_of_the_supervisor_alone_the_next_start_ends_what_is_left(
    own: ChildPlatform, traffic: SteadyTraffic
) -> None:
    [child] = named(own, "canfleet.platform_process")
    run = Run.of(child.pid)
    assert run is not None
    own.kill(alone=True)
    acknowledged = traffic.frames
    own.__enter__()
    assert run.members() == []
    traffic.wait_for(10)
    assert traffic.frames > acknowledged


def test_only_one_platform_runs_on_a_folder(own: ChildPlatform) -> None:
    done = run_up("--data-dir", str(own.data_dir))
    assert done.returncode == 1
    assert f"already, process {own.pid}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_sigterm_refuses_with_advice_and_stores_everything(own: ChildPlatform, traffic: SteadyTraffic) -> None:
    traffic.wait_for(10)
    traffic.forget()
    assert own.stop() == 0
    traffic.finish()
    assert traffic.refusals[503] + traffic.refusals["ConnectError"] > 0
    assert set(traffic.refusals) <= {503, "ConnectError", "RemoteProtocolError", "ReadError"}
    assert traffic.without_advice == 0
    assert (own.data_dir / RUN_FILE).read_text() == ""
    host = HostProcess(own.data_dir / "clickhouse")
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url))
    try:
        assert stored_once(warehouse, traffic.vehicle, traffic.frames)
        values = count(warehouse, "signals", traffic.vehicle)
        assert count(warehouse, "signals_1m", traffic.vehicle, "sum(count)") == values > 0
    finally:
        warehouse.close()
        host.terminate()
