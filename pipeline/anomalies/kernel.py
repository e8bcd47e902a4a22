"""All detectors in one pass over a batch: frames in order, and the values of each frame after it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
from numba import njit

from pipeline.anomalies import (
    baseline,
    excursion,
    opened,
    out_of_range,
    streams,
    stuck,
    traffic,
    unknown_arbitration_id,
)
from pipeline.anomalies.state import EVENTS, OPEN_COUNT, STREAMS_USED, Row
from pipeline.prefetch import prefetch

FRAME: Final = 0
VALUE: Final = 1
STARTED: Final = 2
INDEX: Final = 3
"""Places in `position`: next frame, next value, whether that frame itself was judged before a pause, its stream."""

_AHEAD: Final = 40
_FRAMES_AHEAD: Final = 8
"""Values and frames between asking for a row and reading it."""
_FAR: Final = 16
"""Frames between asking for a place in the table of streams and reading it; it tells which stream to ask for."""
_NOTHING: Final = -1


@njit(nogil=True, error_model="numpy")
def judge_value(
    rules: Row,
    rule: Row,
    state: Row,
    learned: Row,
    vehicle: Row,
    frozen: bool,
    in_order: bool,
    value: float,
    timestamp: int,
) -> tuple[int, float]:
    """Detectors on one value; by range alone if it is late or comes in a flood. Gives (kind or -1, score)."""
    if math.isnan(value):
        return _NOTHING, 0.0
    beyond = out_of_range.score(rule, value)
    fresh = state.samples == 0
    late = not fresh and timestamp <= state.last_us
    if beyond > 0.0:
        if not fresh and not late and in_order and not math.isinf(value):
            excursion.count(state, timestamp)
            excursion.leave(state, value, timestamp, value - state.level, excursion.AWAY)
        return out_of_range.KIND, beyond
    if late or math.isinf(value) or not in_order:
        return _NOTHING, 0.0
    if fresh:
        excursion.start(state, value, timestamp)
        return _NOTHING, 0.0
    excursion.count(state, timestamp)
    if state.mode != excursion.NORMAL:
        return excursion.step_excursion(rule, state, learned, value, timestamp)
    if value != state.level:
        return excursion.step_normal(rules, rule, state, learned, vehicle, value, timestamp, frozen)
    state.run += 1
    state.level_us = timestamp
    state.last_us = timestamp
    baseline.learn_own(state, 0.0)
    if state.run >= rule.still_samples and not rule.discrete:
        still = stuck.score(rule, state, learned, vehicle, value, timestamp)
        if still > 0.0 and baseline.is_quantity(rule, learned):
            return stuck.KIND, still
    return _NOTHING, 0.0


def _compiled(sources: int) -> Callable[..., bool]:
    """The kernel. numba finds its cached code by the date of this file; `sources` in the key covers the others."""

    @njit(cache=True, nogil=True, error_model="numpy")
    def run(
        position: Row,
        vehicle_of: Row,
        timestamps: Row,
        arbitration_ids: Row,
        is_extended: Row,
        channels: Row,
        message_of: Row,
        row: Row,
        signal_of: Row,
        series_of: Row,
        value_of: Row,
        signal_rules: Row,
        frame_rules: Row,
        hold_us: Row,
        message_cycle_us: Row,
        series: Row,
        learned: Row,
        vehicles: Row,
        stream_rows: Row,
        table: Row,
        open_rows: Row,
        events: Row,
        counters: Row,
    ) -> bool:
        """Go on at `position` to the batch's end (True) or until a buffer must grow (False). O(frames + values)."""
        n, m = len(vehicle_of), len(row)
        rules = frame_rules[0]
        if n == 0:
            return sources >= 0
        i, j = position[FRAME], position[VALUE]
        started = position[STARTED] != 0
        index = position[INDEX]
        while i < n:
            at = vehicle_of[i]
            vehicle = vehicles[at]
            timestamp = timestamps[i]
            if not started:
                room = len(events) - counters[EVENTS] - counters[OPEN_COUNT]
                worst = vehicle.known + 3
                if (
                    room < worst
                    or len(open_rows) - counters[OPEN_COUNT] < worst
                    or 2 * (counters[STREAMS_USED] + 1) > len(table)
                    or counters[STREAMS_USED] >= len(stream_rows)
                ):
                    break
                if i + _FAR < n:
                    k = i + _FAR
                    soon = streams.key_of(vehicle_of[k], channels[k], is_extended[k], arbitration_ids[k])
                    prefetch(table, streams.home(table, soon))
                    k = i + _FRAMES_AHEAD
                    prefetch(vehicles, vehicle_of[k])
                    soon = streams.key_of(vehicle_of[k], channels[k], is_extended[k], arbitration_ids[k])
                    link = table[streams.home(table, soon)]
                    if link != 0:
                        prefetch(stream_rows, link - 1)
                traffic.advance(vehicle, timestamp)
                if vehicle.open != 0 and vehicle.clock_us > vehicle.expiry_us:
                    opened.expire(open_rows, events, counters, hold_us, vehicle, series, stream_rows)
                message = message_of[i]
                key = streams.key_of(at, channels[i], is_extended[i], arbitration_ids[i])
                slot = streams.place(table, stream_rows, key)
                index = np.int64(table[slot]) - 1
                if index < 0:
                    background = message < 0 and timestamp - vehicle.first_us < rules.background_us
                    index = streams.add(
                        table, stream_rows, counters, vehicle, slot, key, message, rules.unknown_ids, background
                    )
                if index >= 0:
                    stream = stream_rows[index]
                    cycle_us = message_cycle_us[message] if message >= 0 else 0
                    if stream.absent and timestamp > stream.last_us:
                        traffic.come_back(vehicle, stream, timestamp, cycle_us, hold_us, open_rows)
                    flooded, gap_s = traffic.arrive(vehicle, stream, timestamp, cycle_us, rules)
                    stranger = unknown_arbitration_id.score(rules, stream)
                    if flooded + stranger > 0.0:
                        traffic.report(
                            vehicle,
                            at,
                            stream,
                            index,
                            timestamp,
                            stranger,
                            flooded,
                            gap_s,
                            hold_us,
                            open_rows,
                            events,
                            counters,
                        )
                if vehicle.active_us > vehicle.check_us:
                    traffic.look_for_missing(
                        vehicle,
                        at,
                        timestamp,
                        rules,
                        hold_us,
                        message_cycle_us,
                        stream_rows,
                        open_rows,
                        events,
                        counters,
                    )
                started = True
            in_order = index >= 0 and stream_rows[index].burst == 0
            while j < m and row[j] == i:
                if counters[EVENTS] >= len(events) or counters[OPEN_COUNT] >= len(open_rows):
                    break
                if j + _AHEAD < m:
                    prefetch(series, series_of[j + _AHEAD])
                owner, signal, value = series_of[j], signal_of[j], value_of[j]
                state = series[owner]
                frozen = index >= 0 and stream_rows[index].still_slot != 0 and state.run > 1
                kind, score = judge_value(
                    rules, signal_rules[signal], state, learned[signal], vehicle, frozen, in_order, value, timestamp
                )
                if kind >= 0:
                    link = state.slot
                    if kind == stuck.KIND:
                        owner = index
                        if link == 0:
                            link = stream_rows[index].still_slot
                    if link != 0:
                        opened.extend(open_rows[link - 1], vehicle, kind, timestamp, score)
                    elif score > 0.0:
                        link = opened.open_one(
                            open_rows,
                            events,
                            counters,
                            hold_us,
                            vehicle,
                            at,
                            kind,
                            owner,
                            signal,
                            message_of[i],
                            arbitration_ids[i],
                            channels[i],
                            timestamp,
                            value,
                            score,
                        )
                        if kind == stuck.KIND:
                            stream_rows[index].still_slot = link
                        else:
                            state.slot = link
                j += 1
            if j < m and row[j] == i:
                break
            started = False
            i += 1
        position[FRAME], position[VALUE], position[STARTED], position[INDEX] = i, j, np.int64(started), index
        return i >= n

    return run


run = _compiled(crc32(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))))
"""The one compiled function; see `_compiled`."""
