"""Trips from the real engine, against the rule written down plainly in Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from history_drives import DRIVE, SECOND, START, Stored, values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.trips import find_trips
from pipeline.history.drive import Drive, Source
from pipeline.history.settings import DriveSignals, TripSettings

RULE = TripSettings(pause_s=60, moving_km_h=3)
HOUR = 3_600 * SECOND


def test_which_signals_tell() -> None:
    signals = [
        {"message": "B", "signal": "Latitude", "unit": "deg"},
        {"message": "C", "signal": "Latitude", "unit": "deg"},
        {"message": "B", "signal": "Longitude", "unit": "deg"},
        {"message": "A", "signal": "Longitude", "unit": "deg"},
        {"message": "G", "signal": "Speed", "unit": "m/s"},
        {"message": "W", "signal": "VehicleSpeed", "unit": "kmh"},
        {"message": "K", "signal": "Key", "unit": None},
    ]
    found = Drive.of(signals, DriveSignals(ignition=("K.*",)))
    assert found == Drive(
        Source("K", "Key"),
        Source("W", "VehicleSpeed", 1 / 3.6),
        Source("B", "Latitude"),
        Source("B", "Longitude"),
    )
    assert Drive.of(signals, DriveSignals(speed=("G.Speed",))).speed == Source("G", "Speed", 1.0)
    # A position needs both of one message.
    assert Drive.of(signals[1:2], DriveSignals()) == Drive(None, None, None, None)


@pytest.fixture
def stored(warehouse: Warehouse) -> Stored:
    return Stored(warehouse)


def test_trips_with_distance_and_track(warehouse: Warehouse, stored: Stored) -> None:
    """Two drives at 36 km/h due east, with a stop shorter than the pause in the first; then a flicker of the sensor."""
    second = np.arange(3_000)
    speed = np.zeros(3_000)
    speed[100:700] = 36
    speed[300:350] = 0
    speed[1_500:1_800] = 36
    speed[2_500] = 50
    metres = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 7.2)])
    time = START + second * SECOND
    stored(values("v1", "Wheels", "VehicleSpeed", time, speed))
    stored.positions("v1", time, np.zeros(3_000), metres / (6_371_229 * np.pi / 180))
    stored.positions("v2", time, np.zeros(3_000), metres)
    whole = {"start": START, "end": START + HOUR}
    found = find_trips(warehouse, "acme", "v1", DRIVE, RULE, **whole)
    assert (found.told_by, found.distance_by, found.complete) == ("speed", "speed", True)
    [first, second_trip] = found.trips
    assert (first["start"], first["end"]) == (time[100], time[699])
    assert (second_trip["start"], second_trip["end"]) == (time[1_500], time[1_799])
    assert first["distance_m"] == pytest.approx(metres[699] - metres[100])
    assert second_trip["distance_m"] == pytest.approx(2_990)
    assert not any(trip[way] for trip in found.trips for way in ("begins_before", "goes_on"))
    for trip, begin, end in ((first, 100, 699), (second_trip, 1_500, 1_799)):
        track = trip["track"]
        assert len(track) <= 1_000
        assert (track[0]["timestamp"], track[-1]["timestamp"]) == (time[begin], time[end])
        for point in track:
            at = int(point["timestamp"] - START) // SECOND
            assert point["longitude"] == metres[at] / (6_371_229 * np.pi / 180)
    # Without a speed, the way between the positions tells the distance.
    on = replace(DRIVE, ignition=Source("Wheels", "VehicleSpeed"), speed=None)
    by_position = find_trips(warehouse, "acme", "v1", on, RULE, **whole)
    assert (by_position.told_by, by_position.distance_by) == ("ignition", "position")
    assert by_position.trips[0]["distance_m"] == pytest.approx(metres[699] - metres[100], rel=1e-4)
    # A part of it: the trip is cut, and says so.
    [cut] = find_trips(warehouse, "acme", "v1", DRIVE, RULE, start=int(time[200]), end=int(time[600])).trips
    assert (cut["start"], cut["end"], cut["begins_before"], cut["goes_on"]) == (time[200], time[599], True, True)
    assert cut["distance_m"] == pytest.approx(metres[599] - metres[200])
    for other in ("v2", "v3"):
        assert find_trips(warehouse, "acme", other, DRIVE, RULE, **whole).trips == []
    assert find_trips(warehouse, "other", "v1", DRIVE, RULE, **whole).trips == []
    assert find_trips(warehouse, "acme", "v1", Drive(None, None, None, None), RULE, **whole).told_by is None


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 30))
def test_ignition_trips_are_those_of_the_rule(warehouse: Warehouse, seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = START + np.cumsum(rng.choice([1, 5, 59, 60, 61, 300], 200, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])) * SECOND
    ignition = (rng.random(200) < rng.choice([0.1, 0.5, 0.9])).astype(float)
    ignition[rng.random(200) < 0.05] = np.nan
    name = f"v{seed}"
    Stored(warehouse)(values(name, "Body", "Ignition", time, ignition))
    start, end = sorted(int(one) for one in rng.choice(time, 2, replace=False))
    drive = Drive(Source("Body", "Ignition"), None, None, None)
    found = find_trips(warehouse, "acme", name, drive, RULE, start=start, end=end).trips
    assert [(trip["start"], trip["end"]) for trip in found] == expected(time[ignition > 0].tolist(), start, end)
    assert all(trip["distance_m"] is None and trip["track"] == [] for trip in found)


def expected(on: list[int], start: int, end: int) -> list[tuple[int, int]]:
    """The rule: on-samples not more than the pause apart are one trip; of it, what lies in the range."""
    trips: list[list[int]] = []
    for t in on:
        if trips and t - trips[-1][-1] <= 60 * SECOND:
            trips[-1].append(t)
        else:
            trips.append([t])
    inside = [[t for t in trip if start <= t < end] for trip in trips]
    return [(trip[0], trip[-1]) for trip in inside if len(trip) > 1]
