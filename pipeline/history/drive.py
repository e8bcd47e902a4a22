"""Which of a vehicle's signals tell of its drive, found among those it has sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from pipeline.history.settings import DriveSignals

_METRES_PER_SECOND: Final = {
    "km/h": 1 / 3.6,
    "kmh": 1 / 3.6,
    "kph": 1 / 3.6,
    "m/s": 1.0,
    "mph": 0.44704,
    "mi/h": 0.44704,
    "kn": 1852 / 3600,
    "knot": 1852 / 3600,
    "knots": 1852 / 3600,
}


@dataclass(frozen=True, slots=True)
class Source:
    """One signal of one message.

    Attributes:
        message, signal: names.
        scale: metres per second in one of its units; 1 of what is no speed.
    """

    message: str
    signal: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Drive:
    """What a vehicle has of each; latitude and longitude are of one message, or both None."""

    ignition: Source | None
    speed: Source | None
    latitude: Source | None
    longitude: Source | None

    @classmethod
    def of(cls, signals: Iterable[Mapping[str, Any]], wanted: DriveSignals) -> Drive:
        """Choose among `signals`, each with its `message`, `signal` and `unit`. O(signals x globs).

        A speed without a unit that is known counts as km/h.
        """
        units = {(one["message"], one["signal"]): one.get("unit") for one in signals}
        latitude = _first(units, wanted.latitude)
        longitude = None
        if latitude is not None:
            beside = {name: unit for name, unit in units.items() if name[0] == latitude.message}
            longitude = _first(beside, wanted.longitude)
        speed = _first(units, wanted.speed)
        if speed is not None:
            unit = (units[speed.message, speed.signal] or "").strip().lower()
            speed = Source(speed.message, speed.signal, _METRES_PER_SECOND.get(unit, 1 / 3.6))
        return cls(
            ignition=_first(units, wanted.ignition),
            speed=speed,
            latitude=latitude if longitude is not None else None,
            longitude=longitude,
        )


def _first(units: Mapping[tuple[str, str], str | None], globs: Sequence[str]) -> Source | None:
    """The first by name of what the first matching glob matches."""
    for glob in globs:
        found = sorted(name for name in units if fnmatchcase(f"{name[0]}.{name[1]}", glob))
        if found:
            return Source(*found[0])
    return None
