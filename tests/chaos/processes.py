"""The processes of a running platform, found anew each time, since they come and go."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import psutil

from pipeline.errors import CanfleetError

_WAIT_S: Final = 30.0


class Role(StrEnum):
    """What a process is for; the value is how its title, or its name, begins."""

    GATEWAY = "ray::ServeReplica:frames"
    QUERY = "ray::ServeReplica:query"
    PARTITION = "ray::PartitionActor"
    DIRECTORY = "ray::DirectoryActor"
    CLICKHOUSE = "ray::ClickHouseActor"
    CONTROLLER = "ray::ServeController"
    HAPROXY = "haproxy"
    RAYLET = "raylet"
    GCS = "gcs_server"


def family(pid: int) -> list[psutil.Process]:
    """The process `pid` and all that descend from it; empty where it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def in_role(pid: int, role: Role) -> list[psutil.Process]:
    """Processes of the family that are for `role`."""
    return [process for process in family(pid) if _title(process).startswith(role.value)]


async def wait_for(pid: int, role: Role) -> list[psutil.Process]:
    """As `in_role`, waiting while there is none.

    Raises:
        CanfleetError: none has come.
    """
    deadline = asyncio.get_running_loop().time() + _WAIT_S
    while not (found := await asyncio.to_thread(in_role, pid, role)):
        if asyncio.get_running_loop().time() > deadline:
            raise CanfleetError(f"no process {role.value} has come within {_WAIT_S:g} s")
        await asyncio.sleep(0.1)
    return found


def send(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal; False where the process has ended already."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def kill_family(pid: int, when_stopped: Callable[[], None] = lambda: None) -> None:
    """SIGKILL for the whole family at one moment.

    All are stopped first, so that none sees another die, or starts a new one, before its own turn comes: as if the
    power went. `when_stopped` is called in between.
    """
    frozen: dict[int, psutil.Process] = {}
    while new := [process for process in family(pid) if process.pid not in frozen]:
        for process in new:
            send(process, signal.SIGSTOP)
            frozen[process.pid] = process
    when_stopped()
    for process in frozen.values():
        send(process, signal.SIGKILL)
    # All but the first belong to others or to init, who reap them.
    psutil.wait_procs(list(frozen.values())[1:], timeout=10)


def _title(process: psutil.Process) -> str:
    try:
        command = process.cmdline()
        return command[0] if command and command[0].startswith("ray::") else process.name()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""
