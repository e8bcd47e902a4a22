"""The load generator stands for vehicles, which have computers of their own: here it shares the platform's cores."""

from __future__ import annotations

import os


def run_at_once() -> bool:
    """Let the calling thread run whenever it has something to do, as on a computer of its own; whether it may.

    Otherwise the kernel can let it wait for 0.3 s at a time while the platform uses all cores (each session is a group
    that is scheduled as a whole), and that wait would count as the platform's. It takes a tenth of a core. Threads
    that it starts are not favoured. Needs CAP_SYS_NICE.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return False
    return True
