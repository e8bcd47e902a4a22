"""Runs the platform in a child process, without Ray in this one, and starts it again when it dies or falls silent."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Final

import typer

from canfleet.backoff import Backoff
from canfleet.binding import adopt_orphans, bound_environment
from canfleet.family import Run, descendants, end_all, read_process
from canfleet.health import Health, Silence
from canfleet.ports import wait_until_free
from canfleet.run_file import RunFile
from pipeline.config import CanfleetConfig
from pipeline.durable import make_directory
from pipeline.errors import CanfleetError

CONFIG: Final = "CANFLEET_CONFIG"
"""Environment variable with the whole configuration as JSON, for the child."""
BOOTSTRAP_KEY: Final = "CANFLEET_BOOTSTRAP_KEY"
"""Environment variable with the first key."""

_VITAL: Final = ("gcs_server", "raylet")
"""Children of the platform's process that nothing in Ray starts again, and without which all the rest is nothing."""
_WATCHED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_TICK_S: Final = 0.5
_DRAIN_S: Final = 80.0
_END_S: Final = 30.0
_PORTS_S: Final = 10.0


class Supervisor:
    """The process of `canfleet up`: one at a time on a data directory, and nothing else in its process.

    Everything that descends from it belongs to the platform, and is ended before the platform is started again. All
    state is in the data directory, so a start after a crash is a start like any other.
    """

    def __init__(self, config: CanfleetConfig, bootstrap_key: str | None) -> None:
        """Watch over a platform with this configuration."""
        self._config = config
        self._key = bootstrap_key
        self._url = config.server.base_url
        self._child = 0
        self._status: int | None = None
        self._vital: dict[int, str] = {}
        self._is_ready = self._was_ready = False
        self._stop_by: float | None = None

    def run(self) -> int:
        """Run until SIGTERM, SIGINT, or a start that cannot succeed; the exit status.

        SIGHUP replaces the HTTP face's processes one after the other.

        Raises:
            CanfleetError: another platform runs on the data directory, or a port is taken.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        adopt_orphans()
        make_directory(self._config.data_dir)
        file = RunFile(self._config.data_dir)
        try:
            left = file.left
            if left is not None and not end_all(left.members, _END_S):
                raise CanfleetError(f"processes of a platform that was killed do not end: session {left.session}")
            wait_until_free(self._config, _PORTS_S if left is not None else 0.0)
            return self._keep_running(file)
        finally:
            file.close()

    def _keep_running(self, file: RunFile) -> int:
        backoff = Backoff()
        while True:
            self._start(file)
            began = time.monotonic()
            fault = self._watch()
            self._end_rest()
            final = self._final_status()
            if final is not None:
                return final
            pause = backoff.after(time.monotonic() - began)
            typer.echo(f"canfleet: {fault}; starting again" + (f" in {pause:g} s" if pause else ""), err=True)
            if self._stopped_within(pause):
                return 0
            wait_until_free(self._config, _PORTS_S)

    def _start(self, file: RunFile) -> None:
        """Start the platform as the leader of a session of its own; Ctrl-C at a terminal reaches this process alone."""
        environment = bound_environment() | {CONFIG: self._config.model_dump_json(), BOOTSTRAP_KEY: self._key or ""}
        command = [sys.executable, "-m", "canfleet.platform_process"]
        self._status, self._vital, self._is_ready = None, {}, False
        self._child = os.posix_spawn(sys.executable, command, environment, setsid=True, setsigmask=())
        run = Run.of(self._child)
        if run is not None:
            file.write(run, {"url": self._url, "clickhouse": self._config.clickhouse_url})

    def _watch(self) -> str:
        """Wait until the platform's process has ended, or something is wrong with it; what is."""
        health = Health(self._url)
        while True:
            received = signal.sigtimedwait(_WATCHED, _TICK_S)
            self._pass_on(None if received is None else received.si_signo)
            self._reap()
            if self._status is not None:
                return f"the platform's process {_ended(self._status)}"
            if self._stop_by is not None:
                if time.monotonic() > self._stop_by:
                    return f"the platform did not drain in {_DRAIN_S:g} s"
                continue
            dead = self._dead_vital()
            if dead is not None:
                return f"Ray's {dead} died"
            try:
                self._is_ready = health.look()
                self._was_ready = self._was_ready or self._is_ready
            except Silence as silence:
                return str(silence)

    def _pass_on(self, number: int | None) -> None:
        if number in (signal.SIGTERM, signal.SIGINT) and self._stop_by is None:
            self._stop_by = time.monotonic() + _DRAIN_S
            self._signal(signal.SIGTERM)
        elif number == signal.SIGHUP:
            self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        """To the child, which is not reaped yet where there is no status, so that the id is its own."""
        if self._status is None:
            os.kill(self._child, number)

    def _dead_vital(self) -> str | None:
        """Name of a vital process that was there and is no more."""
        if len(self._vital) < len(_VITAL):
            found = (process for process in descendants(self._child) if process.parent == self._child)
            self._vital |= {process.pid: process.name for process in found if process.name in _VITAL}
        for pid, name in self._vital.items():
            process = read_process(pid)
            if process is None or not process.alive or process.name != name:
                return name
        return None

    def _final_status(self) -> int | None:
        """The exit status where the platform shall not be started again, else None.

        A start that fails with a message before the platform ever was ready would fail again; a process that was
        killed would not.
        """
        if self._stop_by is not None:
            return 0 if self._status == 0 or not self._is_ready else 1
        if self._status == 0:
            return 0
        if self._status is not None and self._status > 0 and not self._was_ready:
            return self._status
        return None

    def _stopped_within(self, pause: float) -> bool:
        deadline = time.monotonic() + pause
        while (left := deadline - time.monotonic()) > 0:
            received = signal.sigtimedwait((signal.SIGTERM, signal.SIGINT), left)
            if received is not None:
                return True
        return False

    def _end_rest(self) -> None:
        if not end_all(lambda: descendants(os.getpid()), _END_S, self._reap):
            left = ", ".join(f"{process.name} {process.pid}" for process in descendants(os.getpid()))
            raise CanfleetError(f"processes of the platform do not end: {left}")

    def _reap(self) -> None:
        """Collect every child that has ended: the platform's process, and orphans that were adopted."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._status = os.waitstatus_to_exitcode(status)


def _ended(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
