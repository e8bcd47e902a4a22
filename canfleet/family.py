"""Which processes belong to a run of the platform, read from /proc, and how they are ended to the last one.

A run is a session: Ray's processes, its workers and HAProxy stay in the session of the process that started Ray, also
when their parents die. Nothing is ever looked for by its name on the whole machine.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_BOOT: Final = _PROC / "sys/kernel/random/boot_id"
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/PID/stat.

    Attributes:
        pid, parent, session: process ids.
        name: of the executable, at most 15 characters.
        state: one letter; Z has ended and waits for its parent.
        started: clock ticks after the machine's start; with `pid` it names a process for good.
    """

    pid: int
    parent: int
    session: int
    name: str
    state: str
    started: int

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self.state not in "ZX"


@dataclass(frozen=True, slots=True)
class Run:
    """What names a run for later: its session, when the session's leader started, and the boot it happened in."""

    session: int
    started: int
    boot: str

    @classmethod
    def of(cls, leader: int) -> Run | None:
        """The run that process `leader` leads; None when it has ended."""
        process = read_process(leader)
        return None if process is None else cls(leader, process.started, _BOOT.read_text().strip())

    def members(self) -> list[Process]:
        """Its living processes, as far as they are this user's.

        Process ids come round again, so a leader of the same id that started at another time means that the run is
        over: the kernel gives no id away while a session of that id exists. O(processes of the machine).
        """
        if self.boot != _BOOT.read_text().strip():
            return []
        leader = read_process(self.session)
        if leader is not None and leader.started != self.started:
            return []
        return [
            process
            for process in all_processes()
            if process.session == self.session and process.started >= self.started and _is_mine(process.pid)
        ]


def read_process(pid: int) -> Process | None:
    """One process; None when there is no such process (any more)."""
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def parse_stat(stat: str) -> Process:
    """A line of /proc/PID/stat; the name in parentheses may hold spaces and parentheses itself."""
    end = stat.rindex(")")
    pid, _, name = stat[:end].partition(" (")
    fields = stat[end + 2 :].split()
    return Process(int(pid), int(fields[1]), int(fields[3]), name, fields[0], int(fields[19]))


def all_processes() -> Iterator[Process]:
    """Every living process of the machine."""
    for folder in os.listdir(_PROC):
        process = read_process(int(folder)) if folder.isdigit() else None
        if process is not None and process.alive:
            yield process


def descendants(pid: int) -> list[Process]:
    """Living processes that descend from `pid`, which must be their reaper for none to be missed."""
    processes = list(all_processes())
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += [process.pid for process in own]
    return found


def end_all(
    members: Callable[[], Iterable[Process]], timeout_s: float, reap: Callable[[], None] = lambda: None
) -> bool:
    """SIGKILL whatever `members` finds until it finds nothing; False when something is left after `timeout_s`.

    Asked again and again, since a process may start another between the look and the signal. `reap` collects
    children that have ended.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        left = list(members())
        for process in left:
            _kill(process.pid)
        reap()
        if not left:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself, which is what was wanted


def _is_mine(pid: int) -> bool:
    try:
        return (_PROC / str(pid)).stat().st_uid == os.getuid()
    except FileNotFoundError:
        return False
