"""CPU time and memory of a platform's processes, read from /proc and added up by what they are for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

PARTITIONS: Final = "partition actors"
_ROLES: Final = (
    ("ray::ClickHouse", "ClickHouse"),
    ("ray::PartitionActor", PARTITIONS),
    ("ray::ServeReplica:frames", "gateway"),
    ("ray::ServeReplica:query", "query"),
    ("ray::ServeReplica:logs", "log intake"),
    ("haproxy", "HAProxy"),
    ("ray::", "Ray"),
    ("raylet", "Ray"),
    ("gcs_server", "Ray"),
    ("ray/", "Ray"),
    ("canfleet up", "canfleet up"),
    ("canfleet.platform_process", "canfleet up"),
)
_MACHINE: Final = Path("/proc/stat")
LOAD_GENERATOR: Final = "load generator"
"""The role of this process: it makes the frames, sends them and measures."""


@dataclass(frozen=True, slots=True)
class Usage:
    """One process: its role and name, CPU seconds since its start, resident bytes."""

    role: str
    name: str
    cpu_s: float
    rss: int


def role_of(command: str) -> str:
    """What a process with this command line does for the platform; the first matching mark decides."""
    return next((role for mark, role in _ROLES if mark in command), "other")


def name_of(command: str) -> str:
    """A process's short name: the actor that Ray shows in its title, a Python script or module, or the program."""
    words = command.split() or [""]
    if words[0].startswith("ray::"):
        return words[0].partition(".")[0]
    if words[0].rpartition("/")[2].startswith("python"):
        module = words[words.index("-m") + 1 :] if "-m" in words else []
        words = module or [word for word in words if word.endswith(".py")] or words
    return words[0].rpartition("/")[2]


def parse_stat(stat: str) -> tuple[int, float, int]:
    """Parent process, CPU seconds and resident bytes of a line of /proc/PID/stat.

    The command in parentheses may hold spaces and parentheses itself; what follows its last one is plain numbers.
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE


def parse_machine(stat: str) -> float:
    """CPU seconds that all cores together have worked, or were taken away by a host, of the text of /proc/stat."""
    user, nice, system, _, _, interrupt, soft, stolen, *_ = map(int, stat.splitlines()[0].split()[1:])
    return (user + nice + system + interrupt + soft + stolen) / _TICKS


def family(pid: int) -> dict[int, Usage]:
    """The process `pid` and all that descend from it, by process id. O(processes of the machine)."""
    parents: dict[int, int] = {}
    usages: dict[int, Usage] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent, cpu_s, rss = parse_stat((folder / "stat").read_text())
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended between the listing and the reading
        parents[int(folder.name)] = parent
        usages[int(folder.name)] = Usage(role_of(command), name_of(command), cpu_s, rss)
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found, waiting = {}, [pid]
    while waiting:
        one = waiting.pop()
        if one in usages:
            found[one] = usages[one]
            waiting += children.get(one, ())
    return found


class Meter:
    """What a platform's processes, and this one, used between `start` and `stop`; `look` between them sees peaks."""

    def __init__(self, pid: int | None) -> None:
        """Measure the family of `pid`; with None only this process, for a platform that somebody else started."""
        self._pid = pid
        self._first: dict[int, Usage] = {}
        self._last: dict[int, Usage] = {}
        self._peak: dict[int, int] = {}
        self._began_s = self._machine_s = 0.0
        self._took_s = 0.0

    def start(self) -> None:
        """Begin."""
        self._began_s = time.monotonic()
        self._machine_s = parse_machine(_MACHINE.read_text())
        self._first = self._read()
        self._last = dict(self._first)
        self.look()

    def look(self) -> None:
        """Note CPU and memory of now; of a process that has ended the last look counts."""
        for pid, usage in self._read().items():
            self._last[pid] = usage
            self._peak[pid] = max(self._peak.get(pid, 0), usage.rss)

    def stop(self) -> None:
        """End."""
        self.look()
        self._took_s = time.monotonic() - self._began_s
        self._machine_s = parse_machine(_MACHINE.read_text()) - self._machine_s

    def report(self, frames: int) -> dict[str, Any]:
        """`roles` and `total`, each with cpu_s, cores (mean), cpu_s_per_million frames and peak rss_mib.

        `other_cores` is what everything else on the machine used meanwhile: a measurement wants it to be near 0.
        """
        used = [
            (u.role, u.cpu_s - self._first[p].cpu_s if p in self._first else u.cpu_s) for p, u in self._last.items()
        ]
        peaks = [(self._last[pid].role, rss) for pid, rss in self._peak.items()]
        other_s = max(0.0, self._machine_s - sum(cpu_s for _, cpu_s in used))
        return account(used, peaks, frames, self._took_s) | {"other_cores": other_s / self._took_s}

    def _read(self) -> dict[int, Usage]:
        found = family(self._pid) if self._pid is not None else {}
        me = os.getpid()
        _, cpu_s, rss = parse_stat(Path(f"/proc/{me}/stat").read_text())
        found[me] = Usage(LOAD_GENERATOR, LOAD_GENERATOR, cpu_s, rss)
        return found


def account(
    cpu: Iterable[tuple[str, float]], peaks: Iterable[tuple[str, int]], frames: int, took_s: float
) -> dict[str, Any]:
    """Add up (role, CPU seconds) and (role, resident bytes); `total` is the platform without the load generator."""
    cpu_s: dict[str, float] = {}
    rss: dict[str, int] = {}
    for role, seconds in cpu:
        cpu_s[role] = cpu_s.get(role, 0.0) + seconds
    for role, n_bytes in peaks:
        rss[role] = rss.get(role, 0) + n_bytes

    def line(seconds: float, n_bytes: int) -> dict[str, float]:
        return {
            "cpu_s": seconds,
            "cores": seconds / took_s if took_s else 0.0,
            "cpu_s_per_million": seconds / frames * 1e6 if frames else 0.0,
            "rss_mib": n_bytes / 2**20,
        }

    platform = [role for role in cpu_s if role != LOAD_GENERATOR]
    roles = {role: line(cpu_s[role], rss.get(role, 0)) for role in sorted(cpu_s, key=_order(cpu_s))}
    total = line(sum(cpu_s[role] for role in platform), sum(rss.get(role, 0) for role in platform))
    return {"seconds": took_s, "roles": roles, "total": total}


def _order(cpu_s: Mapping[str, float]) -> Any:  # noqa: ANN401 a sort key
    return lambda role: (role == LOAD_GENERATOR, -cpu_s[role])
