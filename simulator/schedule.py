"""Which message a vehicle sends in which slot."""

from __future__ import annotations

import math

import numpy as np

from pipeline.types import I64
from simulator.layout import FleetDatabase

SLOT_MS = 200
"""A vehicle sends one frame a slot; at the usual 5 Hz a slot lasts this long."""
_MOST_SLOTS = 4096


def slot_schedule(database: FleetDatabase) -> I64:
    """Message number by slot, int64[L], to be repeated for ever.

    Where cycle times and start delays (in steps of SLOT_MS) fill every slot exactly once they are kept to the
    letter. Otherwise messages take turns, as often as their cycle times say relative to each other (smooth weighted
    round-robin), for no vehicle here can send two frames at once. O(M × L).
    """
    return _exact(database.cycle_ms, database.delay_ms) if _is_exact(database) else _weighted(database.cycle_ms)


def _is_exact(database: FleetDatabase) -> bool:
    cycle, delay = database.cycle_ms, database.delay_ms
    if (cycle <= 0).any() or (cycle % SLOT_MS).any() or (delay % SLOT_MS).any():
        return False
    slots = math.lcm(*(cycle // SLOT_MS).tolist())
    return (
        slots <= _MOST_SLOTS and bool((_exact(cycle, delay) >= 0).all()) and (slots * SLOT_MS // cycle).sum() == slots
    )


def _exact(cycle_ms: I64, delay_ms: I64) -> I64:
    every = cycle_ms // SLOT_MS
    schedule = np.full(math.lcm(*every.tolist()), -1, np.int64)
    for message, (start, period) in enumerate(zip(delay_ms // SLOT_MS, every, strict=True)):
        schedule[start % period :: period] = message
    return schedule


def _weighted(cycle_ms: I64) -> I64:
    stated = cycle_ms[cycle_ms > 0]
    usual = float(np.median(stated)) if len(stated) else 1000.0
    cycle = np.where(cycle_ms > 0, cycle_ms, usual)
    turns = np.maximum(1, np.rint(cycle.max() / cycle))
    turns = np.minimum(turns, max(1, _MOST_SLOTS // len(cycle)))
    credit = np.zeros(len(turns))
    schedule = np.empty(int(turns.sum()), np.int64)
    for slot in range(len(schedule)):
        credit += turns
        schedule[slot] = message = int(credit.argmax())
        credit[message] -= turns.sum()
    return schedule
