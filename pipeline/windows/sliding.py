"""Sliding windows over every series, in event time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.arrays import grown, length_for, read_only
from pipeline.errors import ConfigError
from pipeline.types import F64, I32, I64
from pipeline.windows.packed import SINGLE, pack_panes, unpack_panes
from pipeline.windows.panes import FIELDS, NEVER, aggregate_panes, newest_panes, update_panes
from pipeline.windows.settings import WindowSettings

_NOBODY: Final = -1
"""Vehicle of a series that has no value yet."""
_FIRST_BYTES: Final = 512 << 20
"""Of address space for panes, taken at once: growing to it by doubling would copy what is there again and again, up to
0.7 s at a time, while pages that nothing was written to cost no memory."""


@dataclass(frozen=True, slots=True)
class WindowAggregates:
    """One window for each of k series.

    Attributes:
        end: int64[k], microseconds; the window is [end - length, end). The smallest int64 where its vehicle sent
            nothing yet.
        count: int64[k], values in the window. Where it is 0 the following are NaN, and `last_timestamp` the
            smallest int64.
        mean: float64[k].
        std: float64[k], population standard deviation.
        min: float64[k].
        max: float64[k].
        last: float64[k], the latest value by event time; of equal timestamps the one that arrived later.
        last_timestamp: int64[k], microseconds.
    """

    end: I64
    count: I64
    mean: F64
    std: F64
    min: F64
    max: F64
    last: F64
    last_timestamp: I64


class SlidingWindows:
    """Count, mean, standard deviation, minimum, maximum and last value over windows that slide in event time.

    Windows are [end - length, end), with `end` at multiples of the slide since the epoch. A vehicle's watermark is
    its newest timestamp less the lateness; it closes windows that end at or before it, of that vehicle alone. A value
    counts as long as one window it belongs to is open, so whatever the order of arrival within the lateness, a closed
    window holds what it would hold with values in order (mean and deviation to rounding).

    Memory: 56 bytes per pane and 4 per series; with the default 16 panes 300,000 series take 270 MB.
    """

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._first_series: Final = _FIRST_BYTES // (settings.panes * FIELDS * 8)
        self._newest_time: I64 = np.zeros(0, np.int64)
        self._vehicle_of: I32 = np.zeros(0, np.int32)
        self._panes: F64 = np.zeros((settings.panes, 0, FIELDS))
        self._singles = np.zeros(64, SINGLE)
        self._full: F64 = np.zeros((64, FIELDS))
        self._full_series: I32 = np.zeros(64, np.int32)
        self._pane_of_frame: I64 = np.zeros(0, np.int64)
        self._slot_of_frame: I32 = np.zeros(0, np.int32)
        self._series = 0
        self.too_late = 0
        """Values refused so far because every window they belong to had closed."""
        self.not_finite = 0
        """Values kept out so far: NaN, infinite, or beyond ± 1e150, where squares overflow."""

    def update(self, vehicle: I32, timestamp: I64, row: I32, series: I32, value: F64) -> int:
        """Add the values of a batch of frames, in order of arrival.

        Args:
            vehicle: int32[n], dense vehicle index of each frame.
            timestamp: int64[n], microseconds.
            row: int32[m], ascending, the frame of each value.
            series: int32[m].
            value: float64[m]; those that are not finite move the watermark and are counted apart.

        Returns:
            How many were too late: all their windows had closed. O(n + m).
        """
        self._reserve(length_for(vehicle), length_for(series))
        self._pane_of_frame = grown(self._pane_of_frame, len(vehicle))
        self._slot_of_frame = grown(self._slot_of_frame, len(vehicle))
        too_late, not_finite = update_panes(
            read_only(vehicle),
            read_only(timestamp),
            read_only(row),
            read_only(series),
            read_only(value),
            self._settings.slide_us,
            self._settings.panes_per_window,
            self._settings.lateness_us,
            self._newest_time,
            self._vehicle_of,
            self._panes,
            self._panes.view(np.int32),
            self._panes.view(np.int64),
            self._pane_of_frame,
            self._slot_of_frame,
        )
        self.too_late += too_late
        self.not_finite += not_finite
        return int(too_late)

    def aggregate(self, series: I32, end: I64 | int | None = None) -> WindowAggregates:
        """One window for each series.

        Args:
            series: int32[k].
            end: int64[k] or one number, microseconds, rounded down to a multiple of the slide; None = the latest
                window that its vehicle's watermark closed. A window whose beginning the ring no longer holds counts
                nothing: ask for those of the last `lateness` only.

        Returns:
            Fresh arrays of k. O(k · panes).
        """
        series = np.asarray(series, np.int32)
        k, slide = len(series), self._settings.slide_us
        newest = np.full(k, NEVER, np.int64)
        newest_panes(read_only(series), self._panes.view(np.int32), self._panes.view(np.int64), newest)
        ends = self._closed(series) if end is None else np.broadcast_to(np.asarray(end, np.int64) // slide * slide, k)
        result = WindowAggregates(
            end=np.ascontiguousarray(ends),
            count=np.zeros(k, np.int64),
            mean=np.full(k, np.nan),
            std=np.full(k, np.nan),
            min=np.full(k, np.nan),
            max=np.full(k, np.nan),
            last=np.full(k, np.nan),
            last_timestamp=np.full(k, NEVER, np.int64),
        )
        aggregate_panes(
            read_only(series),
            read_only(result.end),
            slide,
            self._settings.panes_per_window,
            newest,
            self._panes,
            self._panes.view(np.int32),
            self._panes.view(np.int64),
            result.count,
            result.mean,
            result.std,
            result.min,
            result.max,
            result.last,
            result.last_timestamp,
        )
        return result

    def watermark(self, vehicle: int) -> int | None:
        """Microseconds: windows of this vehicle that end here or before are closed; None before its first value."""
        if vehicle >= len(self._newest_time) or self._newest_time[vehicle] == NEVER:
            return None
        return int(self._newest_time[vehicle]) - self._settings.lateness_us

    def forget(self, vehicle: int, series: I32) -> None:
        """Know nothing of a vehicle and its series any more. O(k · panes)."""
        series = series[series < self._series]
        self._panes[:, series] = 0.0
        self._vehicle_of[series] = _NOBODY
        if vehicle < len(self._newest_time):
            self._newest_time[vehicle] = NEVER

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all state that a window can still see, those of the panes valid until the next snapshot.

        One pass over the panes, a tenth of a second for 500,000 series; the memory for them is kept.
        """
        while True:
            singles, full = pack_panes(
                self._panes,
                self._panes.view(np.int32),
                self._panes.view(np.int64),
                self._series,
                self._vehicle_of,
                self._newest_time,
                self._settings.slide_us,
                self._singles,
                self._full_series,
                self._full,
            )
            if singles <= len(self._singles) and full <= len(self._full):
                break
            self._singles = np.zeros(max(singles + singles // 4, len(self._singles)), SINGLE)
            room = max(full + full // 4, len(self._full))
            self._full, self._full_series = np.zeros((room, FIELDS)), np.zeros(room, np.int32)
        return {
            "shape": np.array(self._shape(), np.int64),
            "newest_time": self._newest_time.copy(),
            "vehicle_of": self._vehicle_of[: self._series].copy(),
            # Bytes, since a checkpoint stores plain types.
            "singles": self._singles[:singles].view(np.uint8),
            "full_series": self._full_series[:full],
            "full": self._full[:full],
            "counters": np.array([self.too_late, self.not_finite], np.int64),
        }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `snapshot` gave, in place of all state.

        Raises:
            ConfigError: the snapshot was taken with another length, slide or lateness. Its panes mean nothing under
                these; start without them.
        """
        if tuple(arrays["shape"].tolist()) != self._shape():
            raise ConfigError(
                f"windows: the checkpoint was written with length, slide, lateness = {arrays['shape'].tolist()} µs, "
                f"the configuration says {list(self._shape())} µs; go back to those, or start without the windows"
            )
        self._newest_time = arrays["newest_time"].copy()
        self._vehicle_of = arrays["vehicle_of"].copy()
        self._series = len(self._vehicle_of)
        self._panes = np.zeros((self._settings.panes, 0, FIELDS))
        self._reserve(len(self._newest_time), self._series)
        full = np.ascontiguousarray(arrays["full"])
        unpack_panes(
            arrays["singles"].view(SINGLE),
            arrays["full_series"],
            full,
            self._panes,
            self._panes.view(np.int32),
            self._panes.view(np.int64),
            full.view(np.int64),
        )
        self.too_late, self.not_finite = arrays["counters"].tolist()

    @staticmethod
    def warm() -> None:
        """Compile every kernel, or load it from its cache: seconds that the first frames need not wait."""
        scratch, one = SlidingWindows(WindowSettings()), np.zeros(1, np.int32)
        scratch.update(one, np.zeros(1, np.int64), one, one, np.zeros(1))
        scratch.aggregate(one)
        SlidingWindows(WindowSettings()).restore(scratch.snapshot())

    def _shape(self) -> tuple[int, int, int]:
        return self._settings.length_us, self._settings.slide_us, self._settings.lateness_us

    def _reserve(self, vehicles: int, series: int) -> None:
        self._newest_time = grown(self._newest_time, vehicles, fill=NEVER)
        self._vehicle_of = grown(self._vehicle_of, series, fill=_NOBODY)
        self._panes = grown(self._panes, series, axis=1, first=self._first_series)
        self._series = max(self._series, series)

    def _closed(self, series: I32) -> I64:
        """End of the latest closed window of each series; NEVER where there is none."""
        ends = np.full(len(series), NEVER, np.int64)
        known = np.flatnonzero(series < self._series)
        known = known[self._vehicle_of[series[known]] != _NOBODY]
        newest = self._newest_time[self._vehicle_of[series[known]]]
        slide = self._settings.slide_us
        ends[known] = (newest - self._settings.lateness_us) // slide * slide
        return ends
