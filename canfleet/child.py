"""A platform in a process of its own, for commands that bring one along: demo and benchmark."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from canfleet.binding import bound_environment
from canfleet.family import descendants
from pipeline.errors import CanfleetError

_READY: Final = "canfleet is ready: "
_START_TIMEOUT_S: Final = 180.0
_STOP_TIMEOUT_S: Final = 90.0


class ChildPlatform:
    """`canfleet up` on a folder, as a context: entering waits until it accepts data, leaving drains it.

    After `stop` or `kill` it can be entered again: the same data, ports and key. Ctrl-C at a terminal reaches this
    process alone, so that it decides when the platform stops.
    """

    def __init__(
        self, data_dir: Path, port: int = 0, clickhouse_port: int = 0, dashboard_port: int = 0, *more: str
    ) -> None:
        """Ports of 0 become free ones; `more` are further options of `canfleet up`."""
        self.key: Final = f"demo-{secrets.token_urlsafe(12)}"
        self.port, self.clickhouse_port, self.dashboard_port = _ports([port, clickhouse_port, dashboard_port])
        self.url: Final = f"http://127.0.0.1:{self.port}"
        self.clickhouse_url: Final = f"http://127.0.0.1:{self.clickhouse_port}"
        self.data_dir: Final = data_dir
        self._more = more
        self._lines: deque[str] = deque(maxlen=40)
        self._ready = False
        self._process: subprocess.Popen[str] | None = None
        self._follower: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            CanfleetError: it ended or did not become ready; the message has its last lines.
        """
        options = {
            "--data-dir": self.data_dir,
            "--port": self.port,
            "--clickhouse-port": self.clickhouse_port,
            "--dashboard-port": self.dashboard_port,
            "--bootstrap-key": self.key,
        }
        command = [sys.executable, "-m", "canfleet", "up", *(str(part) for item in options.items() for part in item)]
        self._ready = False
        settled = threading.Event()
        self._process = subprocess.Popen(
            [*command, *self._more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=bound_environment(),
        )
        self._follower = threading.Thread(target=self._follow, args=(self._process, settled), daemon=True)
        self._follower.start()
        if not settled.wait(_START_TIMEOUT_S) or not self._ready:
            self.kill()
            raise CanfleetError("the platform did not start:\n" + self.last_lines())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain it and wait until it has ended."""
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of `canfleet up`."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def last_lines(self) -> str:
        """What it printed last."""
        return "".join(self._lines)

    def check(self) -> None:
        """Raise CanfleetError where it has ended by itself."""
        if self._running().poll() is not None:
            raise CanfleetError("the platform ended:\n" + self.last_lines())

    def stop(self) -> int:
        """SIGTERM, then wait; its exit status.

        Raises:
            CanfleetError: it did not end in time, and was killed.
        """
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise CanfleetError(f"the platform did not drain in {_STOP_TIMEOUT_S:g} s:\n{self.last_lines()}") from error
        self._close_output()
        return status

    def kill(self, *, alone: bool = False) -> None:
        """SIGKILL to `canfleet up` and, unless `alone`, to every process that descends from it, all at one time."""
        process = self._running()
        family = [] if alone else descendants(process.pid)
        process.kill()
        for member in family:
            with suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
        process.wait()
        if not alone:
            self._close_output()

    def _close_output(self) -> None:
        """Ray's processes may hold the pipe open a little longer than `canfleet up` lives."""
        if self._follower is not None:
            self._follower.join(10)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise CanfleetError("the platform was not started")
        return self._process

    def _follow(self, process: subprocess.Popen[str], settled: threading.Event) -> None:
        if process.stdout is None:
            raise CanfleetError("the platform was started without a pipe for its output")
        with process.stdout as lines:
            for line in lines:
                self._lines.append(line)
                if line.startswith(_READY):
                    self._ready = True
                    settled.set()
        settled.set()


def _ports(wanted: Sequence[int]) -> list[int]:
    """The wanted ports, free ones in place of 0; held together until all are known, so that no two are equal."""
    held = []
    ports = []
    for port in wanted:
        if port:
            ports.append(port)
            continue
        free = socket.socket()
        free.bind(("127.0.0.1", 0))
        held.append(free)
        ports.append(free.getsockname()[1])
    for one in held:
        one.close()
    return ports
