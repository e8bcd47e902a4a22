"""Settings of the history: which signals tell of a drive, what a trip is, fences, and how much is kept and exported."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Latitude = Annotated[float, Field(ge=-85, le=85)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Globs = tuple[str, ...]
"""Globs over `Message.Signal`, the preferred ones first."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DriveSignals(_Section):
    """Which signals of a vehicle tell of its drive: the first glob that one of its signals matches decides."""

    ignition: Globs = ()
    """Not 0 while the vehicle is in use. Where a vehicle has one, it makes the trips; else its speed does."""
    speed: Globs = ("*.VehicleSpeed", "*.GroundSpeed", "*.Speed")
    """In the unit that the database gives it: km/h, m/s, mph, kn."""
    latitude: Globs = ("*.Latitude",)
    longitude: Globs = ("*.Longitude",)
    """Degrees; of one message, so that both have the same time."""


class TripSettings(_Section):
    """What a trip is."""

    pause_s: float = Field(default=300, ge=1, le=86_400)
    """A vehicle that stands, or says nothing, for longer ends its trip."""
    moving_km_h: float = Field(default=3, ge=0)
    """It moves when it is faster than this; unused where the ignition makes the trips."""


class Circle(_Section):
    """A fence around a point."""

    latitude: Latitude
    longitude: Longitude
    radius_m: float = Field(gt=0, le=1_000_000)


class Geofence(_Section):
    """An area whose entering and leaving is told of."""

    circle: Circle | None = None
    polygon: tuple[tuple[Latitude, Longitude], ...] | None = Field(default=None, min_length=3, max_length=500)
    """Corners in order, latitude first; the last is joined to the first."""
    margin_m: float = Field(default=30, ge=0, le=10_000)
    """A vehicle has left once it is farther out than this: a position that wavers at the border is no event."""
    fleets: tuple[str, ...] = ()
    """Fleets that the fence is for; empty: all."""

    @model_validator(mode="after")
    def _is_one_shape(self) -> Self:
        if (self.circle is None) == (self.polygon is None):
            raise ValueError("a fence is either a circle or a polygon")
        return self


class HistorySettings(_Section):
    """What the API answers about the past."""

    cache_bytes: int = Field(default=64 << 20, ge=0)
    """Answers that one process of the API keeps in memory, in bytes; 0 for none."""
    max_export_frames: int = Field(default=1_000_000, ge=1)
    """Frames of one export; a range with more is refused with 413."""
    signals: DriveSignals = DriveSignals()
    trips: TripSettings = TripSettings()
    geofences: dict[str, Geofence] = Field(default_factory=dict, max_length=200)
    """By name."""

    def fences_of(self, fleet: str) -> dict[str, Geofence]:
        """The fences that a fleet may know of, by name."""
        return {name: fence for name, fence in self.geofences.items() if not fence.fleets or fleet in fence.fleets}
