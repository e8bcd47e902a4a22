"""Ray's dashboard, its agent and its monitors give way: no frame waits for them, and a start is quicker."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from canfleet.family import descendants

NICENESS: Final = 10
_MARKS: Final = (b"/dashboard/dashboard.py", b"/dashboard/agent.py", b"/log_monitor.py", b"/_private/monitor.py")
_LOOK_S: Final = 0.1


@contextmanager
def beside_gives_way() -> Iterator[None]:
    """While the context is open, make those among this process's descendants nice as soon as they appear.

    That early each has one thread, and what it starts, threads and processes, inherits the niceness.
    """
    over = threading.Event()
    looking = threading.Thread(target=_look, args=(over,), name="beside")
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


def _look(over: threading.Event) -> None:
    known: set[int] = set()
    while not over.wait(_LOOK_S):
        for process in descendants(os.getpid()):
            if process.pid in known:
                continue
            try:
                # The end of an argument: the raylet's own ones hold the agent's whole command.
                arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
                if any(argument.endswith(_MARKS) for argument in arguments):
                    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
                    known.add(process.pid)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
