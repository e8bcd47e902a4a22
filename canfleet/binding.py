"""What Linux does for processes that must not outlive each other (prctl): death signals and adopted orphans."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

from pipeline.errors import CanfleetError

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PARENT: Final = "CANFLEET_PARENT"
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def bound_environment() -> dict[str, str]:
    """This process's environment, for a child that calls `end_with_parent`."""
    return os.environ | {_PARENT: str(os.getpid())}


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """In a process started with `bound_environment`: have the kernel send a signal when its parent is gone.

    Nothing is left running by a parent that was killed. Does nothing in other processes.

    Raises:
        CanfleetError: the parent has ended already.
    """
    parent = os.environ.pop(_PARENT, None)
    if parent is None:
        return
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != int(parent):
        raise CanfleetError("the process that started this one has ended")


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies, so that none is lost from sight."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0):
        raise CanfleetError(f"prctl {option} failed: {os.strerror(ctypes.get_errno())}")
