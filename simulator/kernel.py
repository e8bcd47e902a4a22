"""The fleet's inner loop: slot after slot, drive the vehicle, encode its message, let go wrong what must."""

# ruff: noqa: ANN401 - kernels take records and many arguments
from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.types import F64, I64, U64
from simulator.driving import MAX_STEP_S, advance, is_moving, observe
from simulator.encode import encode_variant
from simulator.episodes import distort, extra_frames, plan
from simulator.injections import WARMUP_US, Kind, Targets
from simulator.layout import Layout
from simulator.noise import bell, mix, uniform

_STUCK: Final = int(Kind.STUCK)
_MISSING: Final = int(Kind.MISSING_MESSAGE)
_UNKNOWN: Final = int(Kind.UNKNOWN_ARBITRATION_ID)
_FLOOD: Final = int(Kind.FLOOD)
_WARMUP_US: Final = WARMUP_US
_WALK_US: Final = 20_000_000
MOST_EXTRA: Final = 48
"""Rows that one slot may make beside its own frame."""


def row_dtype(words: int) -> np.dtype[Any]:
    """One frame to be sent: when it is due, and its columns; `words` 64-bit words of data."""
    return np.dtype(
        [
            ("due", np.int64),
            ("timestamp", np.int64),
            ("sequence", np.uint64),
            ("vehicle", np.int32),
            ("arbitration_id", np.uint32),
            ("length", np.int32),
            ("is_extended", np.bool_),
            ("words", np.uint64, (words,)),
        ],
        align=True,
    )


class Plan(NamedTuple):
    """What never changes during a run. S signals, V vehicles, L slots."""

    layout: Layout
    targets: Targets
    schedule: I64
    """int64[L]."""
    turn: I64
    """int64[L], how often the slot's message came before in the schedule."""
    turns: I64
    """int64[M], slots of each message in the schedule."""
    signal_message: I64
    model: I64
    """int64[S], index into `driving.SIGNALS`; unused without driving."""
    noise: F64
    """float64[S]; with motion, the noise fades at standstill."""
    motion: F64
    low: F64
    high: F64
    raw_low: F64
    raw_high: F64
    step: F64
    discrete: NDArray[np.bool_]
    driving: bool
    start_us: int
    period_us: int
    vehicles: int
    duplicates: float
    late: float
    episode_chance: float
    """Per slot."""


class Vehicles(NamedTuple):
    """What changes, one entry per vehicle."""

    key: U64
    phase: I64
    """int64[V], where in the schedule the vehicle begins."""
    offset_us: I64
    """int64[V], ascending: when within a slot the vehicle sends."""
    state: F64
    sequence: U64
    episode: NDArray[Any]
    frozen: U64
    """uint64[V, W], the payload a stuck message repeats."""


@njit(cache=True, nogil=True)
def generate(
    plan_: Plan, fleet: Vehicles, begin: int, end: int, rows: Any, truths: Any, counts: I64, observed: F64, values: F64
) -> tuple[int, int, int]:
    """Frames of the global slots `begin` to `end`; slot g belongs to vehicle g % V and is its g // V-th.

    Stops early when `rows` or `truths` could overflow. `counts` gathers frames, duplicates, late frames and
    whether any row is due later than it was made. Returns (next slot, rows written, truths written).
    """
    layout = plan_.layout
    intel = np.zeros(layout.words + 1, np.uint64)
    motorola = np.zeros(layout.words + 1, np.uint64)
    steps = int(np.ceil(plan_.period_us * 1e-6 / MAX_STEP_S))
    made = 0
    told = 0
    for number in range(begin, end):
        if made + MOST_EXTRA + 2 > len(rows) or told + 1 > len(truths):
            return number, made, told
        slot, vehicle = divmod(number, plan_.vehicles)
        now_us = plan_.start_us + slot * plan_.period_us + fleet.offset_us[vehicle]
        key = mix(fleet.key[vehicle], slot)
        episode = fleet.episode[vehicle]
        at = (slot + fleet.phase[vehicle]) % len(plan_.schedule)
        message = plan_.schedule[at]
        rounds = (slot + fleet.phase[vehicle]) // len(plan_.schedule)
        state = fleet.state[vehicle]
        if plan_.driving:
            may_stop = episode.kind != _STUCK
            for part in range(steps):
                advance(
                    state,
                    key,
                    1_000 + 4 * part,
                    (now_us - plan_.start_us) * 1e-6,
                    plan_.period_us * 1e-6 / steps,
                    may_stop,
                )
            observe(state, observed)
        if episode.kind > 0 and slot > episode.last:
            episode.kind = 0
        active = episode.kind if slot >= episode.first else 0

        variants = layout.first_variant[message + 1] - layout.first_variant[message]
        variant = layout.first_variant[message]
        if variants > 1:
            variant += (rounds * plan_.turns[message] + plan_.turn[at]) % variants
        if active == _MISSING and message == episode.message:
            pass
        else:
            _fill(plan_, fleet.key[vehicle], key, state, variant, now_us, observed, values)
            if episode.signal >= 0 and active > 0 and message == episode.message:
                signal = episode.signal
                values[signal] = distort(
                    episode,
                    values[signal],
                    plan_.low[signal],
                    plan_.high[signal],
                    plan_.raw_low[signal],
                    plan_.raw_high[signal],
                    plan_.step[signal],
                )
            encode_variant(layout, variant, values, intel, motorola)
            if active == _STUCK and message == episode.message:
                if not episode.frozen:
                    episode.frozen = True
                    fleet.frozen[vehicle] = intel[: layout.words]
                intel[: layout.words] = fleet.frozen[vehicle]
            _write(plan_, fleet, rows[made], vehicle, message, now_us, intel)
            made = _deliver(plan_, rows, made, key, counts)
        if active == _FLOOD:
            extra = min(extra_frames(plan_.schedule, episode.message), MOST_EXTRA)
            flood = layout.first_variant[episode.message]
            for part in range(extra):
                at_us = now_us + (part + 1) * plan_.period_us // (extra + 1)
                _fill(plan_, fleet.key[vehicle], mix(key, 7 + part), state, flood, at_us, observed, values)
                encode_variant(layout, flood, values, intel, motorola)
                _write(plan_, fleet, rows[made], vehicle, episode.message, at_us, intel)
                counts[0] += 1
                counts[3] = 1
                made += 1
        elif active == _UNKNOWN:
            for word in range(layout.words):
                intel[word] = mix(key, 60 + word)
            at_us = now_us + plan_.period_us // 2
            _write(plan_, fleet, rows[made], vehicle, message, at_us, intel)
            rows[made].arbitration_id = np.uint32(episode.arbitration_id)
            rows[made].is_extended = False
            rows[made].length = 8
            counts[0] += 1
            counts[3] = 1
            made += 1
        if (
            episode.kind == 0
            and plan_.episode_chance > 0.0
            and now_us >= plan_.start_us + _WARMUP_US
            and now_us >= episode.free_us
            and uniform(mix(key, 50)) < plan_.episode_chance
        ):
            moving = not plan_.driving or is_moving(state)
            planned = plan(
                episode,
                truths[told],
                plan_.targets,
                layout,
                plan_.signal_message,
                plan_.schedule,
                fleet.phase[vehicle],
                vehicle,
                slot,
                now_us,
                plan_.period_us,
                mix(key, 51),
                moving,
            )
            told += 1 if planned else 0
    return end, made, told


@njit(cache=True, nogil=True)
def _fill(
    plan_: Plan, own: np.uint64, key: np.uint64, state: F64, variant: int, now_us: int, observed: F64, values: F64
) -> None:
    """Physical values of the variant's signals, with sensor noise, kept inside the database's range."""
    layout = plan_.layout
    for field in range(layout.first_field[variant], layout.first_field[variant + 1]):
        if layout.fixed[field] >= 0:
            continue
        signal = layout.signal[field]
        if plan_.driving:
            value = observed[plan_.model[signal]]
            if plan_.noise[signal] > 0.0:
                fade = 1.0 if plan_.motion[signal] == 0.0 else min(1.0, state[0])
                value += fade * plan_.noise[signal] * bell(mix(key, 100 + signal))
        else:
            value = _walk(plan_, mix(own, signal), key, signal, now_us)
        values[signal] = min(max(value, plan_.low[signal]), plan_.high[signal])


@njit(cache=True, nogil=True)
def _walk(plan_: Plan, own: np.uint64, key: np.uint64, signal: int, now_us: int) -> float:
    """A smooth bounded random walk: random points every 20 s, eased between, plus a little noise."""
    low = plan_.low[signal]
    span = plan_.high[signal] - low
    point, within = divmod(now_us - plan_.start_us, _WALK_US)
    here = uniform(mix(own, point))
    if plan_.discrete[signal]:
        return low + np.floor(here * (span + 1.0))
    share = within / _WALK_US
    ease = share * share * (3.0 - 2.0 * share)
    place = here + (uniform(mix(own, point + 1)) - here) * ease + 0.004 * bell(mix(key, 100 + signal))
    return low + span * (0.1 + 0.8 * place)


@njit(cache=True, nogil=True)
def _write(plan_: Plan, fleet: Vehicles, row: Any, vehicle: int, message: int, at_us: int, words: U64) -> None:
    row.due = at_us
    row.timestamp = at_us
    row.sequence = fleet.sequence[vehicle]
    fleet.sequence[vehicle] += np.uint64(1)
    row.vehicle = vehicle
    row.arbitration_id = plan_.layout.arbitration_id[message]
    row.length = plan_.layout.length[message]
    row.is_extended = plan_.layout.is_extended[message]
    for word in range(plan_.layout.words):
        row.words[word] = words[word]


@njit(cache=True, nogil=True)
def _deliver(plan_: Plan, rows: Any, made: int, key: np.uint64, counts: I64) -> int:
    """Hold the frame back or send it twice, as chance will; returns the number of rows."""
    counts[0] += 1
    if plan_.late > 0.0 and uniform(mix(key, 30)) < plan_.late:
        rows[made].due += np.int64(300_000 + 2_700_000 * uniform(mix(key, 31)))
        counts[2] += 1
        counts[3] = 1
    if plan_.duplicates > 0.0 and uniform(mix(key, 32)) < plan_.duplicates:
        rows[made + 1] = rows[made]
        left = 3_000_000 - (rows[made].due - rows[made].timestamp)
        rows[made + 1].due += np.int64(1 + left * uniform(mix(key, 33)))
        counts[1] += 1
        counts[3] = 1
        return made + 2
    return made + 1
