"""Geofence events from the real engine: what is inside, of known shapes, and hysteresis."""

from __future__ import annotations

import numpy as np
import pytest
from history_drives import DRIVE, SECOND, START, Stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.geofences import fence_events
from pipeline.history.settings import Circle, Geofence, HistorySettings

METRES = 6_371_229 * np.pi / 180
LATITUDE, LONGITUDE = 48.0, 11.0


def at(east: np.ndarray, north: np.ndarray, longitude: float = LONGITUDE) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes of points so many metres from the centre."""
    turned = longitude + east / METRES / np.cos(np.radians(LATITUDE))
    return LATITUDE + north / METRES, (turned + 180) % 360 - 180


def square(side: float, margin: float, longitude: float = LONGITUDE) -> Geofence:
    east = np.array([-1, 1, 1, -1]) * side / 2
    corners = at(east, np.array([-1, -1, 1, 1]) * side / 2, longitude)
    return Geofence(polygon=tuple(zip(*(corner.tolist() for corner in corners), strict=True)), margin_m=margin)


def circle(radius: float, margin: float) -> Geofence:
    return Geofence(circle=Circle(latitude=LATITUDE, longitude=LONGITUDE, radius_m=radius), margin_m=margin)


@pytest.mark.parametrize("longitude", [LONGITUDE, 179.9999, -180.0])
def test_a_drive_through(warehouse: Warehouse, longitude: float) -> None:
    """From the west through both fences to the east, wavering at the eastern border of the square."""
    east = np.r_[np.arange(-600, 500, 10.0), np.tile([495, 505, 525], 20), np.arange(500, 800, 10.0)]
    time = START + np.arange(len(east)) * SECOND
    Stored(warehouse).positions("v1", time, *at(east, np.zeros(len(east)), longitude))
    ring = Geofence(circle=Circle(latitude=LATITUDE, longitude=longitude, radius_m=300), margin_m=0)
    fences = {"square": square(1_000, 30, longitude), "ring": ring, "far": circle(1, 0)}
    if longitude == LONGITUDE:
        fences["far"] = Geofence(circle=Circle(latitude=-20, longitude=0, radius_m=5_000))
    ask = {"start": START, "end": START + 3_600 * SECOND}
    found = fence_events(warehouse, "acme", "v1", DRIVE, fences, **ask)
    assert found.inside_at_start == []
    told = [(event["fence"], event["event"], east[(event["timestamp"] - START) // SECOND]) for event in found.events]
    assert [one[:2] for one in told] == [
        ("square", "enter"),
        ("ring", "enter"),
        ("ring", "leave"),
        ("square", "leave"),
    ]
    assert told[0][2] in (-500, -490)
    assert told[1][2] in (-300, -290)
    assert told[2][2] in (310, 320)
    # 525 is out, and not by more than the margin.
    assert told[3][2] in (530, 540)
    begun = fence_events(warehouse, "acme", "v1", DRIVE, fences, start=START + 60 * SECOND, end=ask["end"])
    assert begun.inside_at_start == ["ring", "square"]
    assert fence_events(warehouse, "acme", "v2", DRIVE, fences, **ask).events == []
    assert fence_events(warehouse, "other", "v1", DRIVE, fences, **ask).events == []


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 30))
def test_a_random_walk_gives_the_events_of_the_rule(warehouse: Warehouse, seed: int) -> None:
    rng = np.random.default_rng(seed)
    east, north = np.cumsum(rng.normal(0, 40, (2, 400)), axis=1)
    time = START + np.arange(400) * SECOND
    vehicle = f"v{seed}"
    Stored(warehouse).positions(vehicle, time, *at(east, north))
    margin = float(rng.choice([0, 50]))
    found = fence_events(
        warehouse,
        "acme",
        vehicle,
        DRIVE,
        {"square": square(400, margin), "ring": circle(250, margin)},
        start=START,
        end=START + 400 * SECOND,
    )
    # Signed distances: of the square the usual formula, of the circle the plane's, which is the sphere's here.
    beyond = np.abs(np.array([east, north])) - 200
    to_square = np.hypot(*np.maximum(beyond, 0)) + np.minimum(beyond.max(axis=0), 0)
    to_ring = np.hypot(east, north) - 250
    for name, out in (("square", to_square), ("ring", to_ring)):
        # Where a position lies within centimetres of a border, either answer is right: no such walk is likely.
        told = [(one["event"], int(one["timestamp"] - START) // SECOND) for one in found.events if one["fence"] == name]
        assert told == rule(out, margin)
        assert (name in found.inside_at_start) == (first_inside(out, margin))


def rule(out: np.ndarray, margin: float) -> list[tuple[str, int]]:
    """The rule, step by step: in at 0, out beyond the margin, else as before."""
    inside: bool | None = None
    events = []
    for i, metres in enumerate(out):
        now = True if metres <= 0 else False if metres > margin else inside
        if inside is not None and now is not None and now != inside:
            events.append(("enter" if now else "leave", i))
        inside = now if now is not None else inside
    return events


def first_inside(out: np.ndarray, margin: float) -> bool:
    decided = [metres <= 0 for metres in out if metres <= 0 or metres > margin]
    return bool(decided and decided[0])


def test_fences_of_a_fleet_and_those_that_are_none() -> None:
    ring = {"circle": {"latitude": 1, "longitude": 2, "radius_m": 3}}
    found = HistorySettings.model_validate({"geofences": {"all": ring, "norths": ring | {"fleets": ["north"]}}})
    assert set(found.fences_of("north")) == {"all", "norths"}
    assert set(found.fences_of("south")) == {"all"}
    for wrong in ({}, ring | {"polygon": [[0, 0], [0, 1], [1, 0]]}, {"polygon": [[0, 0], [0, 1]]}):
        with pytest.raises(ValidationError):
            Geofence.model_validate(wrong)
