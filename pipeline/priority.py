"""Priority: threads whose work may wait give way to those that an answer waits for."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

PROCESSING: Final = 5
"""Niceness of decoding, windows and detection, and of parsing and encoding large bodies."""
STORING: Final = 10
"""Niceness of gathering and sending inserts."""


def give_way(niceness: int) -> None:
    """Set the calling thread's niceness, from 0 (as others) to 19; on Linux each thread has its own.

    A moderate one: a thread that the kernel hardly ever runs would hold the interpreter's lock while it waits.
    """
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def background_pool(name: str) -> ThreadPoolExecutor:
    """Threads for half of the cores that give way as `PROCESSING` does.

    More would not be faster, and would take the cores from small requests and from the shards.
    """
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2), name, give_way, (PROCESSING,))
