"""Positions: where every vehicle of a fleet is, in columns, from live state. Timestamps are microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np

from pipeline.decode.catalogue import Catalogue
from pipeline.history.drive import Drive
from pipeline.history.settings import DriveSignals
from pipeline.shard.process import Processor
from pipeline.types import F64, I32, I64, Bools
from pipeline.vehicles import VehicleIndex

_NEVER: Final = np.iinfo(np.int64).min
_KM_H: Final = 3.6


class Positions:
    """Which signals of a catalogue say where a vehicle is and how fast, and what they say now.

    Of a vehicle that sends several, the one that the earliest glob matches counts, as in `Drive`; a latitude without a
    longitude in its message never does. The caller holds the lock of what is read.
    """

    def __init__(self, catalogue: Catalogue, wanted: DriveSignals) -> None:
        """Look through the catalogue once. O(signals x globs)."""
        longitude, with_longitude = _ranks(catalogue, wanted.longitude), _ranks(catalogue, wanted.latitude)
        # One more than there are signals: without any, there is still a 0 to look up.
        self._to_longitude: I32 = np.zeros(len(catalogue.signals) + 1, np.int32)
        for message in catalogue.messages:
            beside = np.arange(message.first_signal, message.first_signal + message.signal_count)
            longitudes = beside[longitude[beside] >= 0]
            if len(longitudes):
                self._to_longitude[beside] = longitudes[np.argmin(longitude[longitudes])] - beside
            else:
                with_longitude[beside] = -1
        speed = _ranks(catalogue, wanted.speed)
        self._km_h: F64 = np.zeros(len(catalogue.signals) + 1)
        for signal in np.flatnonzero(speed >= 0):
            info = catalogue.signals[signal]
            found = Drive.of([{"message": info.message_name, "signal": info.name, "unit": info.unit}], wanted).speed
            self._km_h[signal] = found.scale * _KM_H if found is not None else 0.0
        self._latitudes, self._speeds = _Candidates(with_longitude), _Candidates(speed)

    def of_fleet(self, processor: Processor, vehicles: VehicleIndex, fleet: str) -> dict[str, Any]:
        """All vehicles of a fleet in columns of one length, in no order. O(vehicles + series that are new).

        Returns:
            vehicle_id (list of texts), last_seen, last_received (int64[n]), positioned_at (int64[n], 0 where there is
            no position), latitude, longitude (float64[n], degrees) and speed (float64[n], km/h), NaN where unknown.
        """
        indices = vehicles.indices(fleet)
        indices = indices[indices < len(processor.last_received)]
        at, latitude, longitude = self._places(processor, indices)
        return {
            "vehicle_id": [vehicles.name(index) for index in indices.tolist()],
            "last_seen": processor.latest.last_seen(indices),
            "last_received": processor.last_received[indices],
            "positioned_at": at,
            "latitude": latitude,
            "longitude": longitude,
            "speed": self._speeds_of(processor, indices),
        }

    def _places(self, processor: Processor, indices: I32) -> tuple[I64, F64, F64]:
        known, found, signal = self._latitudes.best(processor, indices)
        at, latitude = processor.latest.of(found)
        when, longitude = processor.latest.of(found + np.where(known, self._to_longitude[signal], 0))
        known &= (when != _NEVER) & (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
        return (
            np.where(known, at, 0),
            np.where(known, latitude, np.nan).round(6),
            np.where(known, longitude, np.nan).round(6),
        )

    def _speeds_of(self, processor: Processor, indices: I32) -> F64:
        known, found, signal = self._speeds.best(processor, indices)
        speed = processor.latest.of(found)[1] * self._km_h[signal]
        return np.where(known & np.isfinite(speed), speed, np.nan).round(1)


class _Candidates:
    """The series of some signals, found among all series as these come."""

    def __init__(self, ranks: I32) -> None:
        """Look for signals that have a rank in `ranks`, int32[signals]; the lowest is the best, -1 is none."""
        self._ranks = ranks
        self._series: I32 = np.zeros(0, np.int32)
        self._looked_at = 0

    def best(self, processor: Processor, indices: I32) -> tuple[Bools, I32, I32]:
        """Of each vehicle the best series that has a value: whether there is one; which, and its signal, else 0."""
        signals = processor.series.series_signal
        new = np.flatnonzero(self._ranks[signals[self._looked_at :]] >= 0) + self._looked_at
        self._series = np.concatenate([self._series, new.astype(np.int32)])
        self._looked_at = len(signals)
        series = self._series[processor.latest.of(self._series)[0] != _NEVER]
        # The last of several writes to one place stays: the best must come last.
        series = series[np.argsort(-self._ranks[signals[series]], kind="stable")]
        of_vehicle: I32 = np.full(len(processor.last_received), -1, np.int32)
        of_vehicle[processor.series.series_vehicle[series]] = series
        found = of_vehicle[indices]
        known = found >= 0
        found = np.maximum(found, 0)
        signal: I32 = np.zeros(len(found), np.int32)
        signal[known] = signals[found[known]]
        return known, found, signal


def _ranks(catalogue: Catalogue, globs: Sequence[str]) -> I32:
    """int32[signals], ascending with preference; -1 for those that no glob matches."""
    ranks = np.full(len(catalogue.signals), -1, np.int32)
    matching = []
    for index, info in enumerate(catalogue.signals):
        name = f"{info.message_name}.{info.name}"
        glob = next((number for number, glob in enumerate(globs) if fnmatchcase(name, glob)), None)
        if glob is not None:
            matching.append((glob, info.message_name, info.name, index))
    for rank, (*_, index) in enumerate(sorted(matching)):
        ranks[index] = rank
    return ranks
