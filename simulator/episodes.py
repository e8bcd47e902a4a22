"""Planning an episode and what it does to a frame, inside the kernel; the state is one row of numbers per vehicle."""

# ruff: noqa: ANN401 - kernels take records and many arguments
from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from pipeline.types import I64
from simulator.injections import PAUSE_US, WARMUP_US, Kind, Targets
from simulator.layout import Layout
from simulator.noise import mix, uniform

EPISODE: Final = np.dtype(
    [
        ("kind", np.int64),  # 0 for none
        ("message", np.int64),
        ("signal", np.int64),
        ("arbitration_id", np.int64),  # of an unknown frame
        ("first", np.int64),  # slots of the vehicle, both included
        ("last", np.int64),
        ("done", np.int64),  # samples changed so far
        ("frozen", np.bool_),
        ("direction", np.float64),
        ("size", np.float64),
        ("free_us", np.int64),  # no new episode before
    ],
    align=True,
)
TRUTH: Final = np.dtype(
    [
        ("vehicle", np.int64),
        ("kind", np.int64),
        ("message", np.int64),
        ("signal", np.int64),
        ("arbitration_id", np.int64),
        ("start", np.int64),
        ("end", np.int64),
    ],
    align=True,
)

_RANGE: Final = int(Kind.OUT_OF_RANGE)
_SPIKE: Final = int(Kind.SUDDEN_DEVIATION)
_RAMP: Final = int(Kind.RATE_OF_CHANGE)
_STUCK: Final = int(Kind.STUCK)
_MISSING: Final = int(Kind.MISSING_MESSAGE)
_UNKNOWN: Final = int(Kind.UNKNOWN_ARBITRATION_ID)
_FLOOD: Final = int(Kind.FLOOD)
_STUCK_US: Final = 30_000_000
_MISSING_US: Final = 6_000_000
_FLOOD_US: Final = 3_000_000
_UNKNOWN_FRAMES: Final = 5
_FASTER: Final = 20
_WARMUP_US: Final = WARMUP_US
_PAUSE_US: Final = PAUSE_US


@njit(cache=True, nogil=True)
def occurrence(schedule: I64, phase: int, slot: int, message: int, count: int) -> int:
    """The vehicle's slot at or after `slot` that holds the message for the count-th time (from 0)."""
    while True:
        if schedule[(slot + phase) % len(schedule)] == message:
            if count == 0:
                return slot
            count -= 1
        slot += 1


@njit(cache=True, nogil=True)
def share(schedule: I64, message: int) -> float:
    """Mean number of slots between two frames of the message."""
    return len(schedule) / np.sum(schedule == message)


@njit(cache=True, nogil=True)
def plan(
    episode: Any,
    truth: Any,
    targets: Targets,
    layout: Layout,
    signal_message: I64,
    schedule: I64,
    phase: int,
    vehicle: int,
    slot: int,
    slot_us: int,
    period_us: int,
    key: np.uint64,
    moving: bool,
) -> bool:
    """Begin an episode after `slot` (which begins at `slot_us`) and write its truth; False if none is possible now.

    A frozen message needs a vehicle in motion. Times are known in advance, since the schedule is.
    """
    kind = targets.kinds[int(uniform(mix(key, 0)) * len(targets.kinds))]
    if kind == _STUCK and not moving:
        return False
    chance = uniform(mix(key, 1))
    signal = -1
    size = 0.0
    if kind == _RANGE:
        signal = targets.range_signals[int(chance * len(targets.range_signals))]
        size = 0.3 + 0.6 * uniform(mix(key, 2))
    elif kind == _SPIKE:
        choice = int(chance * len(targets.spike_signals))
        signal, size = targets.spike_signals[choice], targets.spike_sizes[choice]
    elif kind == _RAMP:
        choice = int(chance * len(targets.ramp_signals))
        signal, size = targets.ramp_signals[choice], targets.ramp_steps[choice]
    message = -1
    identifier = np.int64(targets.unknown_ids[int(chance * len(targets.unknown_ids))])
    if signal >= 0:
        message = signal_message[signal]
    elif kind == _STUCK:
        message = targets.stuck_messages[int(chance * len(targets.stuck_messages))]
    elif kind != _UNKNOWN:
        message = targets.regular_messages[int(chance * len(targets.regular_messages))]
    if message >= 0:
        identifier = np.int64(layout.arbitration_id[message])

    first, last, until = slot + 1, slot, -1
    if kind == _UNKNOWN:
        last = slot + _UNKNOWN_FRAMES
    elif kind == _FLOOD:
        last = slot + max(1, (_FLOOD_US + period_us - 1) // period_us)
    else:
        first = occurrence(schedule, phase, slot + 1, message, 0)
        cycle = share(schedule, message)
        if kind == _SPIKE:
            last = first
        elif kind == _RANGE:
            last = occurrence(schedule, phase, first, message, 1)
        elif kind == _RAMP:
            last = occurrence(schedule, phase, first, message, 2)
            until = occurrence(schedule, phase, last + 1, message, 0)
        else:
            least_us, cycles = (_STUCK_US, 10) if kind == _STUCK else (_MISSING_US, 8)
            samples = max(cycles, int(np.ceil(least_us / (period_us * cycle))))
            last = occurrence(schedule, phase, first, message, samples - (0 if kind == _STUCK else 1))
            if kind == _MISSING:
                until = occurrence(schedule, phase, last + 1, message, 0)
    if until < 0:
        until = last
    episode.kind = kind
    episode.message = message
    episode.signal = signal
    episode.arbitration_id = identifier
    episode.first = first
    episode.last = last
    episode.done = 0
    episode.frozen = False
    episode.size = size
    truth.vehicle = vehicle
    truth.kind = kind
    truth.message = message
    truth.signal = signal
    truth.arbitration_id = identifier
    truth.start = slot_us + (first - slot) * period_us
    truth.end = slot_us + (until - slot) * period_us
    if kind in (_FLOOD, _UNKNOWN):
        truth.end += period_us
    episode.free_us = truth.end + _PAUSE_US
    return True


@njit(cache=True, nogil=True)
def distort(episode: Any, value: float, low: float, high: float, raw_low: float, raw_high: float, step: float) -> float:
    """The wrong value for the signal of an episode about values; counts the sample."""
    if episode.kind == _RANGE:
        if raw_high > high + 2.0 * step:
            wrong = high + max(2.0 * step, (raw_high - high) * episode.size)
        else:
            wrong = low - max(2.0 * step, (low - raw_low) * episode.size)
    else:
        reach = episode.size if episode.kind == _SPIKE else 3.0 * episode.size
        if episode.done == 0:
            episode.direction = 1.0 if value + reach < high else -1.0
        wrong = value + episode.direction * episode.size * (episode.done + 1)
    episode.done += 1
    return wrong


@njit(cache=True, nogil=True)
def extra_frames(schedule: I64, message: int) -> int:
    """Frames per slot that make a message come about 20 times as often as usual."""
    return int(np.ceil(_FASTER / share(schedule, message)))
