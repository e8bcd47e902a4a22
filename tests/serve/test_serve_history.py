"""The past over HTTP, from a real shard on the real engine: signals, trips, fences, export, and the cache in front."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import can
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_process import HostProcess
from serve_command import run_canfleet
from serve_sockets import served
from serve_stand_in import BOOTSTRAP, bearer, check_problem
from serve_whole_platform import WholePlatform, close, hour_before_last, opened

from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.errors import WarehouseAway
from pipeline.frames.body import ARROW
from serve import history_routes
from serve.export_writer import Task
from serve.exports import write_apart
from serve.query import build_query_app

BEGIN = hour_before_last()
SECOND = 1_000_000
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 288 Wheels: 2 ECU
 SG_ VehicleSpeed : 0|16@1+ (0.01,0) [0|250] "km/h" ECU
BO_ 300 Position: 8 ECU
 SG_ Latitude : 0|32@1- (1E-7,0) [-90|90] "deg" ECU
 SG_ Longitude : 32|32@1- (1E-7,0) [-180|180] "deg" ECU
"""
RANGE = {"from": BEGIN, "to": BEGIN + 3_600 * SECOND}
DRIVE_S = 600


@pytest.fixture(scope="module")
def platform(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholePlatform]:
    folder = tmp_path_factory.mktemp("history")
    (folder / "drive.dbc").write_text(DBC)
    fence = {"circle": {"latitude": 48, "longitude": 11.01, "radius_m": 200}, "fleets": ["north"]}
    found = opened(
        host,
        folder,
        "db_history",
        dbc=[str(folder / "drive.dbc")],
        history={"max_export_frames": 1_500, "geofences": {"depot": fence}},
    )
    drive(found, "north", "truck", 36)
    drive(found, "south", "truck", 72)
    found.settle()
    yield found
    close(found)


def drive(platform: WholePlatform, fleet: str, vehicle: str, km_h: int) -> None:
    """Ten minutes due east from 11° E, at a constant speed and a hertz."""
    rows = []
    for second in range(DRIVE_S):
        metres = second * km_h / 3.6
        position = (480_000_000).to_bytes(4, "little") + round(1.1e8 + metres / 74_450 * 1e7).to_bytes(4, "little")
        for arbitration_id, data in ((288, (km_h * 100).to_bytes(2, "little")), (300, position)):
            rows.append(
                {
                    "vehicle_id": vehicle,
                    "timestamp": BEGIN + second * SECOND + arbitration_id,
                    "arbitration_id": arbitration_id,
                    "data": data.hex(),
                }
            )
    platform.send(fleet, "\n".join(map(json.dumps, rows)).encode(), BEGIN + 3_000 * SECOND, f"{fleet}-{vehicle}")


@pytest.fixture
def http(platform: WholePlatform) -> Iterator[httpx.Client]:
    """With a cache of its own."""
    key = bearer(platform.key("north", "query"))
    with served(build_query_app(platform)) as url, httpx.Client(base_url=url, headers=key, timeout=60) as opened_client:
        yield opened_client


def get(http: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = http.get(path, params=RANGE | query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_one_signal_and_several(http: httpx.Client) -> None:
    one = get(http, "/v1/vehicles/truck/signals/VehicleSpeed")
    assert (one["resolution"], one["partial"], len(one["points"])) == ("raw", False, DRIVE_S)
    assert {point["value"] for point in one["points"]} == {36.0}
    names = ["VehicleSpeed", "Latitude", "Longitude"]
    several = get(http, "/v1/vehicles/truck/signals", signal=[*names, "VehicleSpeed"])
    assert (several["signals"], several["resolution"], several["step"]) == (names, "raw", None)
    assert len(several["points"]) == 3 * DRIVE_S
    four = get(http, "/v1/vehicles/truck/signals", signal=[*names, "Absent"])
    assert four["step"] is not None
    assert len(four["points"]) <= 2_000
    east = [point for point in four["points"] if point["signal"] == "Longitude"]
    assert sum(point["count"] for point in east) == DRIVE_S
    assert (east[0]["min"], round(east[-1]["max"], 4)) == (11.0, round(11 + 5_990 / 74_450, 4))
    check_problem(http.get("/v1/vehicles/truck/signals"), 400, "bad-request")
    check_problem(http.get("/v1/vehicles/truck/signals", params={"signal": ["x"] * 21}), 400, "bad-request")


@pytest.mark.parametrize("step", [None, "1m"])
def test_arrow_tells_the_same_as_json(http: httpx.Client, step: str | None) -> None:
    asked = RANGE | {"signal": ["VehicleSpeed", "Latitude"]} | ({"step": step} if step else {})
    plain = http.get("/v1/vehicles/truck/signals", params=asked)
    arrow = http.get("/v1/vehicles/truck/signals", params=asked, headers={"Accept": ARROW})
    assert arrow.headers["content-type"] == ARROW
    assert arrow.headers["etag"] != plain.headers["etag"]
    with pa.ipc.open_stream(arrow.content) as reader:
        table = reader.read_all()
    assert table.schema.field("timestamp").type == pa.timestamp("us", "UTC")
    told = json.loads(table.schema.metadata[b"canfleet"])
    rows = table.set_column(
        table.column_names.index("timestamp"), "timestamp", table["timestamp"].cast(pa.int64())
    ).to_pylist()
    assert told | {"points": rows} == plain.json()


def test_trips(http: httpx.Client) -> None:
    found = get(http, "/v1/vehicles/truck/trips")
    assert (found["told_by"], found["distance_by"], found["complete"]) == ("speed", "speed", True)
    [trip] = found["trips"]
    assert (trip["start"], trip["duration_s"]) == (BEGIN + 288, DRIVE_S - 1)
    assert trip["distance_m"] == pytest.approx(10 * (DRIVE_S - 1))
    assert (trip["track"][0]["longitude"], trip["track"][0]["latitude"]) == (11.0, 48.0)
    assert len(trip["track"]) > 500
    long = {"from": BEGIN - 40 * 86_400 * SECOND}
    check_problem(http.get("/v1/vehicles/truck/trips", params=RANGE | long), 400, "bad-request")


def test_fences_are_the_fleets(platform: WholePlatform, http: httpx.Client) -> None:
    found = get(http, "/v1/vehicles/truck/geofences")
    assert (found["fences"], found["inside_at_start"]) == (["depot"], [])
    # The depot lies 744 m to the east.
    assert [event["event"] for event in found["events"]] == ["enter", "leave"]
    seconds = [(event["timestamp"] - BEGIN) // SECOND for event in found["events"]]
    assert seconds[0] in (54, 55, 56)
    assert seconds[1] in range(97, 101)
    south = http.get("/v1/vehicles/truck/geofences", params=RANGE, headers=bearer(platform.key("south", "query")))
    assert (south.json()["fences"], south.json()["events"]) == ([], [])


def test_a_signal_over_the_fleet(http: httpx.Client) -> None:
    found = get(http, "/v1/fleet/signals/Longitude", by="mean", top=1)
    assert (found["vehicles"], found["count"], found["resolution"]) == (1, DRIVE_S, "1m")
    assert (found["min"], [one["vehicle_id"] for one in found["top"]]) == (11.0, ["truck"])
    assert sum(one["count"] for one in found["histogram"]) == DRIVE_S
    assert found["min"] < found["quantiles"]["0.5"] < found["max"]
    assert get(http, "/v1/fleet/signals/Absent")["count"] == 0
    check_problem(http.get("/v1/fleet/signals/Longitude", params={"by": "sum"}), 400, "bad-request")


# Export ------------------------------------------------------------------------------------------


FRAMES = [(BEGIN + i * SECOND + one, one) for i in range(DRIVE_S) for one in (288, 300)]
"""Times and ids of what the truck sent."""


def test_an_export_holds_the_frames_that_were_sent(http: httpx.Client) -> None:
    answer = http.get("/v1/vehicles/truck/export", params=RANGE)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == 'attachment; filename="truck.parquet"'
    table = pq.read_table(pa.BufferReader(answer.content))
    times, ids = table["timestamp"].cast(pa.int64()).to_pylist(), table["arbitration_id"].to_pylist()
    assert list(zip(times, ids, strict=True)) == FRAMES
    assert table["data"][0].as_py() == (3_600).to_bytes(2, "little")


def test_the_writer_of_a_log_says_that_clickhouse_is_away(tmp_path: Path) -> None:
    task = Task(
        warehouse=WarehouseSettings(url="http://127.0.0.1:9", connect_timeout_s=1),
        fleet="north",
        vehicle_id="truck",
        start=0,
        end=1,
        form="blf",
        path=tmp_path / "frames.blf",
    )
    with pytest.raises(WarehouseAway):
        asyncio.run(write_apart(task))


def test_a_range_with_too_many_frames_says_how_far_it_may_go(
    platform: WholePlatform, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = platform.config.history.model_copy(update={"max_export_frames": 1_000})
    monkeypatch.setattr(platform, "config", platform.config.model_copy(update={"history": few}))
    problem = check_problem(http.get("/v1/vehicles/truck/export", params=RANGE), 413, "range-too-large")
    assert problem["fits"] == BEGIN + 500 * SECOND + 288
    fitting = http.get("/v1/vehicles/truck/export", params=RANGE | {"to": problem["fits"]})
    assert pq.read_table(pa.BufferReader(fitting.content)).num_rows == 1_000


def test_the_command_writes_a_file_or_says_why_not(platform: WholePlatform, http: httpx.Client, tmp_path: Path) -> None:
    key, url = platform.key("north", "query"), str(http.base_url)
    asked = ["--from", str(RANGE["from"]), "--to", str(RANGE["to"]), "--url", url, "--key", key]
    file = tmp_path / "truck.mf4"
    done = run_canfleet("export", "truck", str(file), *asked, "--json")
    assert (done.exit_code, json.loads(done.stdout)["bytes"]) == (0, file.stat().st_size)
    with can.LogReader(file) as reader:
        assert [(round(one.timestamp * 1e6), one.arbitration_id) for one in reader] == FRAMES
    for vehicle, name, said in (("van", "van.blf", "has no vehicle"), ("truck", "truck.txt", ".parquet, .asc")):
        refused = run_canfleet("export", vehicle, str(tmp_path / name), *asked)
        assert refused.exit_code == 1
        assert said in refused.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["truck.mf4"]


# The cache ---------------------------------------------------------------------------------------


def test_a_closed_range_comes_from_memory_with_its_name(
    platform: WholePlatform, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/v1/vehicles/truck/signals/VehicleSpeed"
    # The vehicle's newest frame lies beyond it: the range is closed.
    asked = {"from": BEGIN, "to": BEGIN + 60 * SECOND}
    first = http.get(path, params=asked)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the answer was not in memory")

    monkeypatch.setattr(history_routes, "stored_history", fail)
    again = http.get(path, params=asked)
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == "private, no-cache"
    for named in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
        unchanged = http.get(path, params=asked, headers={"If-None-Match": named})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == first.headers["etag"]
    assert http.get(path, params=asked, headers={"If-None-Match": '"other"'}).status_code == 200
    # Another fleet's question is another one, and whoever insists has it made anew.
    assert http.get(path, params=asked, headers=bearer(platform.key("south", "query"))).status_code == 500
    assert http.get(path, params=asked, headers={"Cache-Control": "no-cache"}).status_code == 500
    cache = http.get("/v1/status", headers=bearer(BOOTSTRAP)).json()["history_cache"]
    assert (cache["hits"], cache["misses"], cache["answers"]) == (5, 2, 1)
    assert cache["hit_rate"] == pytest.approx(5 / 7)
    assert http.get("/v1/status").json()["history_cache"] is None


def test_what_is_forgotten_is_not_told_from_memory(platform: WholePlatform) -> None:
    drive(platform, "west", "car", 36)
    platform.settle()
    keys = {scope: bearer(platform.key("west", scope)) for scope in ("query", "admin")}
    path, asked = "/v1/vehicles/car/signals/VehicleSpeed", {"from": BEGIN, "to": BEGIN + 60 * SECOND}
    with served(build_query_app(platform)) as url, httpx.Client(base_url=url, timeout=60) as http:
        assert len(http.get(path, params=asked, headers=keys["query"]).json()["points"]) == 60
        assert http.delete("/v1/vehicles/car", headers=keys["admin"]).status_code == 200
        check_problem(http.get(path, params=asked, headers=keys["query"]), 404, "not-found")
