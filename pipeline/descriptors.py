"""File descriptors: room for many from the start, so that no connection waits until the kernel has made it."""

from __future__ import annotations

import os
import resource
from typing import Final

RESERVED: Final = 8192
"""Descriptors that a process of many connections or files can have without its table growing: 64 KiB of memory."""


def reserve_descriptors() -> None:
    """Let this process's table of descriptors grow now, to `RESERVED` or to what its limit allows.

    Linux doubles the table when it is full, and waits for an RCU grace period where the process has several threads
    (`expand_fdtable`): a second and more on busy cores, in which nothing that opens or accepts goes on.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = (RESERVED if limit == resource.RLIM_INFINITY else min(RESERVED, limit)) - 1
    empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.dup2(empty, highest, inheritable=False)
        os.close(highest)
    finally:
        os.close(empty)
