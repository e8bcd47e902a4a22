"""A recorded drive: from the log to its trip, whose two distances agree, its fence, and an export equal to the log."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_process import HostProcess
from serve_sockets import served
from serve_stand_in import bearer
from serve_whole_platform import close, opened

from pipeline.clickhouse.trips import find_trips
from pipeline.frames.logs import read_log
from pipeline.history.drive import Drive
from pipeline.history.settings import DriveSignals, TripSettings
from pipeline.lanes.lane import Lane
from serve.intake import Intake, Origin
from serve.query import build_query_app

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="the real logs of ../shared/data are not here")


def test_a_recorded_drive(host: HostProcess, tmp_path: Path) -> None:
    database = str(SHARED / "dbc" / "css" / "gnss.dbc")
    frames = pa.concat_tables(
        pa.Table.from_batches([batch.frames for batch in read_log(SHARED / "logs" / f"drive-{i}.mf4", "car")])
        for i in (4, 5)
    ).unify_dictionaries()
    times = np.sort(frames["timestamp"].cast(pa.int64()).to_numpy())
    asked = {"from": int(times[0]), "to": int(times[-1]) + 1}
    fence = {"circle": {"latitude": 55.870475, "longitude": 9.863895, "radius_m": 500}}
    platform = opened(host, tmp_path, "db_real_drive", dbc=[database], history={"geofences": {"home": fence}})
    try:
        origin = Origin("default", asked["to"], "r", None)
        for batch in frames.to_batches():
            asyncio.run(Intake(platform).take(origin, Lane.LIVE, batch, None))
        platform.settle()
        key = bearer(platform.key("default", "query"))
        with served(build_query_app(platform)) as url, httpx.Client(base_url=url, headers=key, timeout=120) as http:
            [trip] = http.get("/v1/vehicles/car/trips", params=asked).json()["trips"]
            of_trip = {"from": trip["start"], "to": trip["end"], "step": "1s"}
            odometer = http.get("/v1/vehicles/car/signals/DistanceTrip", params=of_trip).json()["points"]
            events = http.get("/v1/vehicles/car/geofences", params=asked).json()["events"]
            exported = http.get("/v1/vehicles/car/export", params=asked | {"format": "mf4"}).content
        state = platform.shard.latest("default", "car")
        drive = replace(Drive.of(state["signals"], DriveSignals(ignition=("gnss_speed.Speed",))), speed=None)
        by_position = find_trips(
            platform.warehouse, "default", "car", drive, TripSettings(), start=asked["from"], end=asked["to"]
        )
    finally:
        close(platform)
    driven = odometer[-1]["max"] - odometer[0]["min"]
    assert trip["distance_m"] == pytest.approx(driven, rel=0.01)
    assert by_position.distance_by == "position"
    assert sum(one["distance_m"] for one in by_position.trips) == pytest.approx(driven, rel=0.02)
    assert 600 < trip["duration_s"] < 700
    assert [event["event"] for event in events] == ["enter"]
    path = tmp_path / "car.mf4"
    path.write_bytes(exported)
    again = pa.Table.from_batches([batch.frames for batch in read_log(path, "car")])
    columns = ["timestamp", "arbitration_id", "data", "is_extended", "channel"]
    order = [(name, "ascending") for name in columns]
    assert again.select(columns).sort_by(order).equals(frames.select(columns).sort_by(order))
