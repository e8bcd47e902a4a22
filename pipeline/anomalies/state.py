"""Layout of the rows that the kernel keeps: one per series, signal, vehicle, id of a vehicle, and open anomaly.

Links between rows are row numbers plus one, so that an all-zero row is a valid fresh one and arrays grow by zeroes.
Instants are int64 microseconds of event time; quantities ending in `_s` are seconds.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Row: TypeAlias = Any
"""What kernels pass among each other: a structured row or an array, which numba knows by its dtype."""

SERIES = np.dtype(
    [
        ("last_us", np.int64),  # newest value seen; older ones are late
        ("level", np.float64),  # newest normal value
        ("level_us", np.int64),
        ("mean", np.float64),  # EWMA of the rate of change per second, and of its squared deviation
        ("variance", np.float64),
        ("suspect", np.float64),  # newest value of an excursion from `level`
        ("changed_us", np.int64),  # first of the present run of identical values
        ("first_us", np.int64),
        ("tolerated", np.float32),  # rate of a small excursion that was reported: the same again is no news
        ("period_s", np.float32),  # EWMA of the time between values
        ("mean_run", np.float32),  # EWMA of the number of values in a run of identical ones
        ("samples", np.int32),
        ("run", np.int32),  # values in the present run
        ("slot", np.int32),  # link to the open anomaly
        ("runs", np.uint16),  # runs completed, which is: changes
        ("direction", np.int8),  # of the excursion
        ("mode", np.uint8),  # of the excursion, see excursion.py
        ("away", np.uint8),  # values since the excursion settled elsewhere
        ("waking", np.uint8),  # values left for which the signal counts as just set in motion
        ("resting", np.bool_),  # the present run was noted on the vehicle
    ],
    align=True,
)
"""One signal of one vehicle; 96 bytes."""

LEARNED = np.dtype(
    [
        ("rate", np.float64),  # fastest normal rate per second, tail quantile
        ("quantum", np.float64),  # smallest change ever seen: the step of the encoding
        ("still_s", np.float64),  # longest normal run of identical values, tail quantile
        ("changes", np.int64),
        ("stills", np.int64),
        ("repeats", np.int64),  # values equal to the one before, outside of rest
        ("mask", np.uint64),  # hashed values, to count distinct ones up to 64
        ("distinct", np.int64),
    ],
    align=True,
)
"""What is normal for one signal over all vehicles of the shard."""

VEHICLE = np.dtype(
    [
        ("clock_us", np.int64),  # newest frame
        ("first_us", np.int64),
        ("active_us", np.int64),  # time during which the vehicle talked
        ("check_us", np.int64),  # active time before which no message can be overdue
        ("expiry_us", np.int64),  # instant before which no open anomaly can close
        ("rests_us", np.int64, (4,)),  # when signals last came to rest at zero or at a bound
        ("rest", np.int32),
        ("streams", np.int32),  # link to the first stream
        ("known", np.int32),  # number of streams
        ("unknown", np.int32),
        ("open", np.int32),  # link to the first open anomaly
    ],
    align=True,
)
"""One vehicle of the shard."""

STREAM = np.dtype(
    [
        ("key", np.uint64),  # see streams.py
        ("last_us", np.int64),
        ("active_us", np.int64),  # the vehicle's active time at the last frame
        ("burst_us", np.int64),  # begin of a run of frames that come too fast
        ("gap_s", np.float64),  # EWMA of the active time between frames: the learned cycle
        ("longest_s", np.float64),  # longest normal gap
        ("uneven", np.float64),  # EWMA of the relative deviation from the learned cycle: 0 is a clock, 0.7 is chance
        ("message", np.int32),
        ("frames", np.int32),
        ("burst", np.int32),
        ("next", np.int32),  # link to the vehicle's next stream
        ("slot", np.int32),  # link to the open missing_message or unknown_arbitration_id
        ("flood_slot", np.int32),
        ("still_slot", np.int32),  # link to the open stuck, one for all signals of the message
        ("background", np.bool_),
        ("absent", np.bool_),  # the open missing_message goes on
    ],
    align=True,
)
"""One arbitration id of one vehicle and channel."""

OPEN = np.dtype(
    [
        ("start_us", np.int64),
        ("end_us", np.int64),  # last violation
        ("seen_us", np.int64),  # the vehicle's clock at the last violation; LASTING while the cause goes on in silence
        ("value", np.float64),
        ("score", np.float64),
        ("count", np.int64),
        ("arbitration_id", np.uint32),
        ("vehicle", np.int32),
        ("owner", np.int32),  # row of the series or stream that points here
        ("signal", np.int32),
        ("message", np.int32),
        ("next", np.int32),  # link to the vehicle's next open anomaly, or to the next free row
        ("kind", np.uint8),
        ("channel", np.uint8),
    ],
    align=True,
)
"""One open anomaly."""

EVENT = np.dtype(
    [
        ("timestamp", np.int64),
        ("end", np.int64),
        ("value", np.float64),
        ("score", np.float64),
        ("count", np.int64),
        ("arbitration_id", np.uint32),
        ("vehicle", np.int32),
        ("signal", np.int32),
        ("message", np.int32),
        ("kind", np.uint8),
        ("channel", np.uint8),
        ("closed", np.bool_),
    ],
    align=True,
)
"""One opening or closing, as it leaves the kernel."""

LASTING: Final = np.int64(2**61)

STREAMS_USED: Final = 0
OPEN_USED: Final = 1
OPEN_FREE: Final = 2
OPEN_COUNT: Final = 3
EVENTS: Final = 4
OVERFLOWED: Final = 5
COUNTERS: Final = 6
"""Places in the int64 counters that the kernel shares with the engine: rows of STREAM and OPEN in use, link to the
first free OPEN row, anomalies open now, events written, frames of ids past a vehicle's bound."""


def grown(rows: NDArray[Any], need: int) -> NDArray[Any]:
    """`rows` itself if it holds `need` rows, else a doubled copy, zero-filled. Amortised O(1) a row."""
    if need <= len(rows):
        return rows
    bigger = np.zeros(max(need, 2 * len(rows)), rows.dtype)
    bigger[: len(rows)] = rows
    return bigger
