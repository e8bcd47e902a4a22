"""Where a fleet is, in columns, against what each vehicle's own latest values say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.history.drive import Drive
from pipeline.history.settings import DriveSignals
from pipeline.shard.live_state import LiveState
from serve import position_routes

NOW = 1_785_000_000_000_000
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 1 Gnss: 8 ECU
 SG_ Latitude : 0|32@1- (1E-007,0) [-90|90] "deg" ECU
 SG_ Longitude : 32|32@1- (1E-007,0) [-180|180] "deg" ECU
BO_ 2 Spare: 8 ECU
 SG_ Longitude : 0|32@1- (1E-007,0) [-180|180] "deg" ECU
 SG_ Latitude : 32|32@1- (1E-007,0) [-90|90] "deg" ECU
BO_ 3 Half: 4 ECU
 SG_ Latitude : 0|32@1- (1E-007,0) [-90|90] "deg" ECU
BO_ 4 Wheels: 4 ECU
 SG_ VehicleSpeed : 0|16@1+ (0.01,0) [0|250] "km/h" ECU
BO_ 5 Receiver: 4 ECU
 SG_ GroundSpeed : 0|16@1+ (0.01,0) [0|100] "m/s" ECU
"""
WANTED = DriveSignals()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> CanfleetConfig:
    folder = tmp_path_factory.mktemp("positions")
    (folder / "some.dbc").write_text(DBC)
    return CanfleetConfig(dbc=(folder / "some.dbc",), data_dir=folder)


class Feed:
    """Live state that is told values rather than frames."""

    def __init__(self, config: CanfleetConfig) -> None:
        self.catalogue = load_catalogue(config.profiles())
        self.state = LiveState(config, self.catalogue, lambda: NOW)

    def say(self, fleet: str, vehicle: str, message: int, values: list[float], at: int) -> None:
        processor = self.state.processor
        index = self.state.vehicles.resolve(fleet, pa.array([vehicle]))
        if len(processor.last_received) <= index[0]:
            processor.last_received = np.concatenate([processor.last_received, np.zeros(8, np.int64)])
        processor.last_received[index] = at + 1
        info = self.catalogue.messages[message]
        signal = np.arange(info.first_signal, info.first_signal + info.signal_count, dtype=np.int32)
        row = np.zeros(len(signal), np.int32)
        series = processor.series.resolve(index, np.array([message], np.int32), row, signal)
        processor.latest.update(index, np.array([at]), row, series, np.array(values))

    def told(self, fleet: str) -> dict[str, dict[str, Any]]:
        columns = self.state.positions(fleet)
        assert len({len(column) for column in columns.values()}) == 1
        rows = zip(*(list(column) for column in columns.values()), strict=True)
        return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}


def expected(feed: Feed, fleet: str, vehicle: str) -> tuple[float | None, float | None, float | None]:
    """The same by the vehicle's `latest` and `Drive`, which the trips go by."""
    latest = feed.state.latest(fleet, vehicle)
    assert latest is not None
    # A latitude that has no longitude beside it is not looked at.
    drive = Drive.of([one for one in latest["signals"] if one["message"] != "Half"], WANTED)
    value = {(one["message"], one["signal"]): one["value"] for one in latest["signals"]}
    place: list[float | None] = [None, None]
    if drive.latitude and drive.longitude:
        lat = value[drive.latitude.message, drive.latitude.signal]
        lon = value[drive.longitude.message, drive.longitude.signal]
        if abs(lat) <= 90 and abs(lon) <= 180:
            place = [round(lat, 6), round(lon, 6)]
    speed = value[drive.speed.message, drive.speed.signal] * drive.speed.scale * 3.6 if drive.speed else None
    return place[0], place[1], None if speed is None or not np.isfinite(speed) else speed


VALUE = st.one_of(st.floats(-200, 200).map(lambda value: round(value, 7)), st.just(float("nan")))
SAYING = st.tuples(st.sampled_from("ab"), st.sampled_from("wxyz"), st.integers(0, 4), VALUE, VALUE, st.integers(0, 9))


@given(st.lists(SAYING, max_size=40), st.integers(0, 40))
def test_every_vehicle_is_where_its_latest_values_say(
    config: CanfleetConfig, sayings: list[tuple[str, str, int, float, float, int]], asked_after: int
) -> None:
    feed = Feed(config)
    for number, (fleet, vehicle, message, first, second, second_us) in enumerate(sayings):
        if number == asked_after:  # what was asked before changes no later answer
            feed.told(fleet)
        count = feed.catalogue.messages[message].signal_count
        feed.say(fleet, vehicle, message, [first, second][:count], NOW + second_us)
    for fleet in "ab":
        told = feed.told(fleet)
        assert set(told) == {vehicle for of, vehicle, *_ in sayings if of == fleet}
        for vehicle, row in told.items():
            wanted = expected(feed, fleet, vehicle)
            for name, value in zip(("latitude", "longitude", "speed"), wanted, strict=True):
                if value is None:
                    assert np.isnan(row[name])
                else:
                    assert row[name] == pytest.approx(value, abs=0.051 if name == "speed" else 1.1e-6)
            assert (row["positioned_at"] > 0) == (wanted[0] is not None)
            latest = feed.state.latest(fleet, vehicle)
            assert latest is not None
            assert row["last_seen"] == latest["last_seen"]
            assert row["last_received"] > 0


def test_without_databases_the_vehicles_are_listed_all_the_same(tmp_path: Path) -> None:
    state = LiveState(CanfleetConfig(data_dir=tmp_path), load_catalogue({}), lambda: NOW)
    index = state.vehicles.resolve("a", pa.array(["truck"]))
    state.processor.last_received = np.full(4, NOW)
    state.processor.latest.update(index, np.array([NOW]), *(np.zeros(0, np.int32),) * 2, np.zeros(0))
    columns = state.positions("a")
    assert columns["vehicle_id"] == ["truck"]
    assert columns["last_seen"].tolist() == [NOW]
    assert np.isnan(columns["latitude"]).all()
    assert np.isnan(columns["speed"]).all()
    assert state.positions("b")["vehicle_id"] == []


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, GZIP;q=0.8", True),
        ("gzip;q=0, br", False),
        ("br, gzip; q=0.000", False),
        ("x-gzip2", False),
        ("identity", False),
        ("", False),
    ],
)
def test_a_large_answer_is_compressed_for_whoever_takes_it(accepted: str, packed: bool) -> None:
    assert bool(position_routes._TAKES_GZIP.search(accepted)) == packed
