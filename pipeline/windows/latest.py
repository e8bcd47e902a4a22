"""What is true of a vehicle now: the latest value of every series, when each vehicle was last seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit

from pipeline.arrays import grown, length_for, read_only
from pipeline.prefetch import prefetch
from pipeline.types import F64, I32, I64

_NEVER: Final = np.iinfo(np.int64).min
_AHEAD: Final = 32
"""Values between asking the cache for a row and reading it."""


class LatestValues:
    """Latest by event time; of equal timestamps the one that arrives later wins.

    Arrival is the order in the journal, so a replay ends in the same state. Values are kept as they are, NaN and
    infinity included: a signal that says "not available" is not what it said before. 16 bytes a series and vehicle.
    """

    def __init__(self) -> None:
        self._values: I64 = np.zeros((0, 2), np.int64)
        self._vehicles: I64 = np.zeros((0, 2), np.int64)
        self._series_used = 0
        self._vehicles_used = 0

    def update(self, vehicle: I32, timestamp: I64, row: I32, series: I32, value: F64) -> None:
        """Take in a batch of frames and the values decoded from them, both in order of arrival. O(n + m).

        Args:
            vehicle: int32[n], of each frame.
            timestamp: int64[n], microseconds.
            row: int32[m], the frame of each value.
            series: int32[m], of each value.
            value: float64[m].
        """
        vehicles, used = length_for(vehicle), length_for(series)
        self._vehicles = self._room(self._vehicles, vehicles)
        self._values = self._room(self._values, used)
        self._vehicles_used = max(self._vehicles_used, vehicles)
        self._series_used = max(self._series_used, used)
        vehicle, timestamp = read_only(vehicle), read_only(timestamp)
        _update_vehicles(vehicle, timestamp, self._vehicles)
        _update_values(
            timestamp,
            read_only(row),
            read_only(series),
            read_only(value),
            self._values,
            self._values.view(np.float64),
        )

    def of(self, series: I32) -> tuple[I64, F64]:
        """Timestamps, int64[k], and values, float64[k]; the smallest int64 and 0 where a series has none. Copies."""
        series = np.asarray(series, np.int32)
        rows = self._rows(self._values, self._series_used, series)
        return rows[:, 0].copy(), rows[:, 1].copy().view(np.float64)

    def last_seen(self, vehicle: I32) -> I64:
        """int64[k], microseconds: the newest timestamp of each vehicle, the smallest int64 for unknown ones."""
        return self._rows(self._vehicles, self._vehicles_used, np.asarray(vehicle, np.int32))[:, 0].copy()

    def frames(self, vehicle: I32) -> I64:
        """int64[k], how many frames each vehicle has sent."""
        return self._rows(self._vehicles, self._vehicles_used, np.asarray(vehicle, np.int32))[:, 1].copy()

    def forget(self, vehicle: int, series: I32) -> None:
        """Know nothing of a vehicle and its series any more. O(k)."""
        for array, rows in ((self._values, series), (self._vehicles, np.array([vehicle]))):
            array[rows[rows < len(array)]] = (_NEVER, 0)

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all state."""
        return {
            "values": self._values[: self._series_used].copy(),
            "vehicles": self._vehicles[: self._vehicles_used].copy(),
        }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `snapshot` gave, in place of all state."""
        self._values, self._vehicles = arrays["values"].copy(), arrays["vehicles"].copy()
        self._series_used, self._vehicles_used = len(self._values), len(self._vehicles)

    @staticmethod
    def warm() -> None:
        """Compile every kernel, or load it from its cache: seconds that the first frames need not wait."""
        one, now = np.zeros(1, np.int32), np.zeros(1, np.int64)
        LatestValues().update(one, now, one, one, np.zeros(1))

    @staticmethod
    def _room(array: I64, length: int) -> I64:
        before = len(array)
        array = grown(array, length)
        array[before:, 0] = _NEVER
        return array

    @staticmethod
    def _rows(array: I64, used: int, indices: I32) -> I64:
        rows = np.zeros((len(indices), 2), np.int64)
        rows[:, 0] = _NEVER
        known = indices < used
        rows[known] = array[indices[known]]
        return rows


# A row is (newest timestamp, value bits) for a series and (newest timestamp, frames) for a vehicle: one cache line.


@njit(cache=True, nogil=True)
def _update_vehicles(vehicle: I32, timestamp: I64, state: I64) -> None:
    for i in range(len(vehicle)):
        v = vehicle[i]
        state[v, 0] = max(state[v, 0], timestamp[i])
        state[v, 1] += 1


@njit(cache=True, nogil=True)
def _update_values(timestamp: I64, row: I32, series: I32, value: F64, state: I64, as_values: F64) -> None:
    """`as_values` is `state` seen as float64."""
    for j in range(len(series)):
        if j + _AHEAD < len(series):
            prefetch(state, series[j + _AHEAD])
        s, when = series[j], timestamp[row[j]]
        if when >= state[s, 0]:
            state[s, 0] = when
            as_values[s, 1] = value[j]
