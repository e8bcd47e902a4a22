"""What one frame does to its vehicle and its id: clocks, the learned cycle, and the detectors on frames."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from pipeline.anomalies import flood, missing_message, opened, streams, unknown_arbitration_id
from pipeline.anomalies.state import LASTING, Row

_AWAKE_US: Final = 2_000_000
"""Silence of a vehicle that counts as active time; what exceeds it is being offline."""
_NO_SIGNAL: Final = -1


@njit(nogil=True, error_model="numpy")
def advance(vehicle: Row, timestamp: int) -> None:
    """Move the vehicle's clocks; a late frame moves neither."""
    if vehicle.streams == 0 and vehicle.first_us == 0:
        vehicle.first_us = timestamp
        vehicle.clock_us = timestamp
        vehicle.check_us = missing_message.NEVER
    elif timestamp > vehicle.clock_us:
        vehicle.active_us += min(timestamp - vehicle.clock_us, _AWAKE_US)
        vehicle.clock_us = timestamp


@njit(nogil=True, error_model="numpy")
def arrive(vehicle: Row, stream: Row, timestamp: int, cycle_us: int, rules: Row) -> tuple[float, float]:
    """One frame of an id: judge its rate, then learn from it. Gives (flood score, seconds since the last frame)."""
    if stream.frames == 0:
        stream.frames = 1
        stream.last_us = timestamp
        stream.active_us = vehicle.active_us
        return 0.0, 0.0
    if timestamp <= stream.last_us:
        return 0.0, 0.0
    flooded = flood.score(rules, stream, timestamp)
    gap_s = (timestamp - stream.last_us) * 1e-6
    if stream.absent:
        stream.absent = False
    else:
        streams.learn_cycle(stream, (vehicle.active_us - stream.active_us) * 1e-6, stream.burst > 0)
        if stream.frames < 1_000_000:
            stream.frames += 1
    stream.last_us = timestamp
    stream.active_us = vehicle.active_us
    if vehicle.check_us == missing_message.NEVER or stream.frames <= rules.warm_frames:
        vehicle.check_us = min(vehicle.check_us, missing_message.overdue_us(rules, stream, cycle_us))
    return flooded, gap_s


@njit(nogil=True, error_model="numpy")
def come_back(vehicle: Row, stream: Row, timestamp: int, cycle_us: int, hold_us: Row, open_rows: Row) -> None:
    """A missing message is there again: its anomaly lasted until now, and closes after the hold."""
    row = open_rows[stream.slot - 1]
    row.end_us = max(row.end_us, timestamp)
    row.seen_us = vehicle.clock_us
    row.value = max(row.value, (vehicle.active_us - stream.active_us) * 1e-6)
    row.score = max(row.score, missing_message.score(stream, cycle_us, vehicle.active_us))
    vehicle.expiry_us = min(vehicle.expiry_us, vehicle.clock_us + hold_us[missing_message.KIND])
    vehicle.check_us = min(vehicle.check_us, vehicle.active_us)


@njit(nogil=True, error_model="numpy")
def report(
    vehicle: Row,
    at: int,
    stream: Row,
    index: int,
    timestamp: int,
    stranger: float,
    flooded: float,
    gap_s: float,
    hold_us: Row,
    open_rows: Row,
    events: Row,
    counters: Row,
) -> None:
    """Open or extend what the frame's own id is accused of."""
    arbitration_id = np.uint32(stream.key & np.uint64(0x1FFFFFFF))
    channel = np.uint8((stream.key >> np.uint64(30)) & np.uint64(0xFF))
    if stranger > 0.0:
        if stream.slot != 0:
            opened.extend(open_rows[stream.slot - 1], vehicle, unknown_arbitration_id.KIND, timestamp, stranger)
        else:
            stream.slot = opened.open_one(
                open_rows,
                events,
                counters,
                hold_us,
                vehicle,
                at,
                unknown_arbitration_id.KIND,
                index,
                _NO_SIGNAL,
                stream.message,
                arbitration_id,
                channel,
                timestamp,
                float(arbitration_id),
                stranger,
            )
    if flooded > 0.0:
        if stream.flood_slot != 0:
            opened.extend(open_rows[stream.flood_slot - 1], vehicle, flood.KIND, timestamp, flooded)
        else:
            stream.flood_slot = opened.open_one(
                open_rows,
                events,
                counters,
                hold_us,
                vehicle,
                at,
                flood.KIND,
                index,
                _NO_SIGNAL,
                stream.message,
                arbitration_id,
                channel,
                timestamp,
                gap_s,
                flooded,
            )


@njit(nogil=True, error_model="numpy")
def look_for_missing(
    vehicle: Row,
    at: int,
    timestamp: int,
    rules: Row,
    hold_us: Row,
    message_cycle_us: Row,
    stream_rows: Row,
    open_rows: Row,
    events: Row,
    counters: Row,
) -> None:
    """Report every overdue message of the vehicle, and note when the next can be. O(ids), once per deadline."""
    vehicle.check_us = missing_message.NEVER
    link = vehicle.streams
    while link != 0:
        stream = stream_rows[link - 1]
        if stream.message >= 0 and not stream.absent:
            cycle_us = message_cycle_us[stream.message]
            due = missing_message.overdue_us(rules, stream, cycle_us)
            if vehicle.active_us <= due:
                vehicle.check_us = min(vehicle.check_us, due)
            else:
                cycles = missing_message.score(stream, cycle_us, vehicle.active_us)
                if stream.slot != 0:
                    opened.extend(open_rows[stream.slot - 1], vehicle, missing_message.KIND, timestamp, cycles)
                else:
                    stream.slot = opened.open_one(
                        open_rows,
                        events,
                        counters,
                        hold_us,
                        vehicle,
                        at,
                        missing_message.KIND,
                        link - 1,
                        _NO_SIGNAL,
                        stream.message,
                        np.uint32(stream.key & np.uint64(0x1FFFFFFF)),
                        np.uint8((stream.key >> np.uint64(30)) & np.uint64(0xFF)),
                        timestamp,
                        (vehicle.active_us - stream.active_us) * 1e-6,
                        cycles,
                    )
                open_rows[stream.slot - 1].seen_us = LASTING
                stream.absent = True
        link = stream.next
