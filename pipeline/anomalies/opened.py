"""Open anomalies: one cause, one anomaly, with a beginning, a duration and an end.

A first violation opens; more of the same cause within the hold extend; quiet for the hold closes. A series has one
open anomaly at most, whatever its detectors say, because a broken sensor offends several of them; a message whose
signals stand still together is one stuck, under the name of the signal that showed it first.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.missing_message import NEVER
from pipeline.anomalies.state import EVENTS, OPEN_COUNT, OPEN_FREE, OPEN_USED, Row

_STUCK = int(Kind.STUCK)
_FLOOD = int(Kind.FLOOD)


@njit(nogil=True, error_model="numpy")
def emit(events: Row, counters: Row, row: Row, closed: bool) -> None:
    """Write one event."""
    event = events[counters[EVENTS]]
    counters[EVENTS] += 1
    event.timestamp = row.start_us
    event.end = row.end_us
    event.value = row.value
    event.score = row.score
    event.count = row.count
    event.arbitration_id = row.arbitration_id
    event.vehicle = row.vehicle
    event.signal = row.signal
    event.message = row.message
    event.kind = row.kind
    event.channel = row.channel
    event.closed = closed


@njit(nogil=True, error_model="numpy")
def extend(row: Row, vehicle: Row, kind: int, timestamp: int, score: float) -> None:
    """One more violation of an open anomaly's cause; the peak score is of the anomaly's own kind."""
    row.count += 1
    row.end_us = max(row.end_us, timestamp)
    row.seen_us = max(row.seen_us, vehicle.clock_us, timestamp)
    if row.kind == kind and score > row.score:
        row.score = score


@njit(nogil=True, error_model="numpy")
def open_one(
    opened: Row,
    events: Row,
    counters: Row,
    hold_us: Row,
    vehicle: Row,
    vehicle_index: int,
    kind: int,
    owner: int,
    signal: int,
    message: int,
    arbitration_id: int,
    channel: int,
    timestamp: int,
    value: float,
    score: float,
) -> int:
    """Open an anomaly and write its event; gives the link for its owner."""
    link = counters[OPEN_FREE]
    if link != 0:
        counters[OPEN_FREE] = opened[link - 1].next
    else:
        counters[OPEN_USED] += 1
        link = counters[OPEN_USED]
    row = opened[link - 1]
    row.start_us = timestamp
    row.end_us = timestamp
    row.seen_us = max(vehicle.clock_us, timestamp)
    row.value = value
    row.score = score
    row.count = 1
    row.arbitration_id = arbitration_id
    row.vehicle = vehicle_index
    row.owner = owner
    row.signal = signal
    row.message = message
    row.kind = kind
    row.channel = channel
    until = row.seen_us + hold_us[kind]
    vehicle.expiry_us = until if vehicle.open == 0 else min(vehicle.expiry_us, until)
    row.next = vehicle.open
    vehicle.open = link
    counters[OPEN_COUNT] += 1
    emit(events, counters, row, False)
    return link


@njit(nogil=True, error_model="numpy")
def expire(opened: Row, events: Row, counters: Row, hold_us: Row, vehicle: Row, series: Row, streams: Row) -> None:
    """Close what was quiet for its hold at the vehicle's clock. O(open anomalies of the vehicle)."""
    before = 0
    link = vehicle.open
    vehicle.expiry_us = NEVER
    while link != 0:
        row = opened[link - 1]
        following = row.next
        until = row.seen_us + hold_us[row.kind]
        if until >= vehicle.clock_us:
            vehicle.expiry_us = min(vehicle.expiry_us, until)
            before = link
        else:
            emit(events, counters, row, True)
            if row.kind < _STUCK:
                series[row.owner].slot = np.int32(0)
            elif row.kind == _STUCK:
                streams[row.owner].still_slot = np.int32(0)
            elif row.kind == _FLOOD:
                streams[row.owner].flood_slot = np.int32(0)
            else:
                streams[row.owner].slot = np.int32(0)
            if before == 0:
                vehicle.open = following
            else:
                opened[before - 1].next = following
            row.next = counters[OPEN_FREE]
            counters[OPEN_FREE] = link
            counters[OPEN_COUNT] -= 1
        link = following
