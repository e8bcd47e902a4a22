from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.frames.schema import CANONICAL
from simulator import FLEET_DBC
from simulator.body import bodies
from simulator.driving import SIGNALS
from simulator.fleet import Fleet
from simulator.injections import PAUSE_US, WARMUP_US, Injections, Kind
from simulator.layout import load_database
from simulator.schedule import SLOT_MS, slot_schedule

SECOND = 1_000_000
Rows = list[dict[str, Any]]


def take(fleet: Fleet, seconds: float) -> pa.Table:
    return pa.Table.from_batches([fleet.tick(fleet.start_us + round(seconds * SECOND)), fleet.drain()])


def columns(table: pa.Table) -> Rows:
    wanted = table.set_column(1, "timestamp", table.column("timestamp").cast(pa.int64()))
    return wanted.to_pylist()


@cache
def database() -> Any:
    return cantools.database.load_file(FLEET_DBC)


@cache
def drive(seconds: int = 300, vehicles: int = 20) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """(vehicle, signal) → times in s, values, of a fleet without injections."""
    fleet = Fleet(vehicles, seed=3)
    series: dict[tuple[str, str], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for row in columns(take(fleet, seconds)):
        for signal, value in (
            database().decode_message(row["arbitration_id"], row["data"], decode_choices=False).items()
        ):
            times, values = series[row["vehicle_id"], signal]
            times.append((row["timestamp"] - fleet.start_us) / SECOND)
            values.append(value)
    return {name: (np.array(times), np.array(values)) for name, (times, values) in series.items()}


def test_a_batch_is_canonical_and_in_time_order():
    fleet = Fleet(30, start_us=1_700_000_000_500_000)
    batch = fleet.tick(fleet.start_us + 10 * SECOND)
    assert batch.schema.equals(CANONICAL)
    assert batch.num_rows == 30 * 5 * 10 == fleet.frames
    times = batch.column("timestamp").cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    assert times[0] == fleet.start_us
    assert set(batch.column("session").to_pylist()) == {1_700_000_000}
    for vehicle in ("veh-00000", "veh-00029"):
        counted = [row["sequence"] for row in batch.to_pylist() if row["vehicle_id"] == vehicle]
        assert counted == list(range(50))


def test_every_message_keeps_its_cycle_time():
    times: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in columns(take(Fleet(5), 60)):
        times[row["vehicle_id"], row["arbitration_id"]].append(row["timestamp"])
    cycles = {message.frame_id: message.cycle_time for message in database().messages}
    assert {identifier for _, identifier in times} == set(cycles)
    for (_, identifier), at in times.items():
        assert (np.diff(at) == cycles[identifier] * 1000).all()


def test_the_schedule_of_a_database_without_delays_shares_slots_by_cycle_time(tmp_path: Path):
    text = FLEET_DBC.read_text()
    path = tmp_path / "no-delays.dbc"
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith('BA_ "GenMsgStartDelay')))
    plain = load_database(path)
    counts = np.bincount(slot_schedule(plain))
    assert (counts == plain.cycle_ms.max() // plain.cycle_ms).all()
    exact = load_database(FLEET_DBC)
    assert len(slot_schedule(exact)) * SLOT_MS == 10_000


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 40 * SECOND), max_size=12), seed=st.integers(0, 2**64 - 1))
def test_the_same_seed_gives_the_same_frames_however_time_is_cut(cuts: list[int], seed: int):
    injections = Injections(duplicates=0.1, late=0.1, anomalies=20.0)
    whole = Fleet(3, seed=seed, injections=injections)
    parts = Fleet(3, seed=seed, injections=injections)
    once = pa.Table.from_batches([whole.tick(whole.start_us + 40 * SECOND), whole.drain()])
    many = [parts.tick(parts.start_us + cut) for cut in sorted([*cuts, 40 * SECOND])]
    assert pa.Table.from_batches([*many, parts.drain()]).equals(once)
    assert whole.episodes() == parts.episodes()


def test_a_vehicle_drives_the_same_in_a_fleet_of_any_size():
    def first(vehicles: int) -> list[bytes]:
        return [row["data"] for row in columns(take(Fleet(vehicles), 30)) if row["vehicle_id"] == "veh-00000"]

    assert first(1) == first(40)
    assert first(1) != [row["data"] for row in columns(take(Fleet(1, seed=2), 30))]


def test_normal_driving_stays_well_inside_the_ranges():
    bounds = {signal.name: signal for message in database().messages for signal in message.signals}
    for (_, name), (_, values) in drive().items():
        signal = bounds[name]
        assert signal.minimum <= values.min(), name
        assert values.max() <= signal.maximum, name
        if name not in ("TyreWheel", "Gear", "SelectorLever", "FixType") and signal.length > 4:
            assert values.max() < signal.maximum - 0.01 * (signal.maximum - signal.minimum), name


def test_analogue_signals_never_stand_still_while_driving():
    noisy = {model.name for model in SIGNALS if model.noise > 0}
    for (vehicle, name), (times, values) in drive().items():
        if name not in noisy:
            continue
        speed_times, speeds = drive()[vehicle, "VehicleSpeed"]
        moving = np.interp(times, speed_times, speeds) > 5.0
        still = longest = 0
        for same, on in zip(np.diff(values) == 0.0, moving[1:], strict=True):
            still = still + 1 if same and on else 0
            longest = max(longest, still)
        assert longest <= 5, (vehicle, name, longest)


def test_the_car_behaves_like_one():
    stops = shifts = 0
    for vehicle in {vehicle for vehicle, _ in drive()}:
        times, speed = drive()[vehicle, "VehicleSpeed"]
        stops += (speed == 0.0).any()
        assert (np.abs(np.diff(speed)) < 13.0).all()
        assert (drive()[vehicle, "EngineSpeed"][1] > 700.0).all()
        shifts += len(set(drive()[vehicle, "Gear"][1])) > 2
        coolant = drive()[vehicle, "CoolantTemperature"][1]
        assert coolant[-1] > coolant[0] - 2.0
        km = drive()[vehicle, "Odometer"][1]
        assert (np.diff(km) >= 0.0).all()
        odometer_times = drive()[vehicle, "Odometer"][0]
        driven = np.trapezoid(speed, times) / 3600.0
        assert km[-1] - km[0] == pytest.approx(driven, abs=0.02 * driven + 5 * speed.max() / 3600 + 0.05), (
            odometer_times
        )
        heading = drive()[vehicle, "Heading"][1]
        assert (np.abs(np.diff(heading)) < 25.0).all()
    assert stops > 5
    assert shifts > 10


def test_positions_agree_with_speed_and_heading():
    for vehicle in sorted({vehicle for vehicle, _ in drive()})[:5]:
        times, latitude = drive()[vehicle, "Latitude"]
        longitude = drive()[vehicle, "Longitude"][1]
        speed_times, speed = drive()[vehicle, "VehicleSpeed"]
        heading_times, heading = drive()[vehicle, "Heading"]
        metres = np.interp(times, speed_times, speed)[1:] / 3.6 * np.diff(times)
        course = np.radians(np.interp(times, heading_times, heading))
        north = np.diff(latitude) * 111_320.0
        east = np.diff(longitude) * 111_320.0 * np.cos(np.radians(latitude[0]))
        expected_north = metres * np.cos(course[1:])
        expected_east = metres * np.sin(course[1:])
        assert np.abs(north - expected_north).max() < 12.0
        assert np.abs(east - expected_east).max() < 12.0


def test_duplicates_and_late_frames_are_as_many_as_said():
    fleet = Fleet(50, injections=Injections(duplicates=0.05, late=0.1))
    batch = fleet.tick(fleet.start_us + 60 * SECOND)
    rest = fleet.drain()
    rows = columns(pa.Table.from_batches([batch, rest]))
    seen = Counter((row["vehicle_id"], row["sequence"]) for row in rows)
    assert len(seen) == fleet.frames == 50 * 300
    assert len(rows) - len(seen) == fleet.duplicates
    assert set(seen.values()) == {1, 2}
    assert fleet.duplicates == pytest.approx(750, rel=0.2)
    assert fleet.late == pytest.approx(1500, rel=0.2)
    assert rest.num_rows > 0
    times = batch.column("timestamp").cast(pa.int64()).to_numpy()
    behind = np.maximum.accumulate(times) - times
    assert behind.max() <= 3 * SECOND


@cache
def wrong(kind: Kind) -> tuple[Fleet, Rows]:
    """Five minutes of a fleet with many episodes."""
    assert kind
    fleet = Fleet(60, seed=11, injections=Injections(anomalies=5.0))
    return fleet, columns(take(fleet, 300))


def concerned(kind: Kind) -> list[tuple[Any, Rows]]:
    """Complete episodes of a kind with their vehicle's frames, from 30 s before to 30 s behind."""
    fleet, rows = wrong(Kind.STUCK)
    by_vehicle: dict[str, Rows] = defaultdict(list)
    for row in rows:
        by_vehicle[row["vehicle_id"]].append(row)
    margin = 30 * SECOND
    chosen = [
        (
            episode,
            [
                r
                for r in by_vehicle[episode.vehicle_id]
                if episode.start - margin <= r["timestamp"] <= episode.end + margin
            ],
        )
        for episode in fleet.episodes()
        if episode.kind == kind.label and episode.complete
    ]
    assert len(chosen) > 5
    return chosen


def decoded(rows: Rows, signal: str, identifier: int) -> list[tuple[int, float]]:
    return [
        (
            row["timestamp"],
            float(database().decode_message(identifier, row["data"], decode_choices=False, scaling=True)[signal]),
        )
        for row in rows
        if row["arbitration_id"] == identifier
    ]


def test_episodes_keep_their_distance():
    fleet, _ = wrong(Kind.STUCK)
    by_vehicle = defaultdict(list)
    for episode in fleet.episodes():
        by_vehicle[episode.vehicle_id].append(episode)
        assert episode.start >= fleet.start_us + WARMUP_US
    for episodes in by_vehicle.values():
        for before, after in pairwise(episodes):
            assert after.start >= before.end + PAUSE_US
    assert {episode.kind for episode in fleet.episodes()} == {kind.label for kind in Kind}


def test_out_of_range_values_are_out_of_range_and_nothing_else_is():
    fleet, rows = wrong(Kind.STUCK)
    bounds = {signal.name: signal for message in database().messages for signal in message.signals}
    truth = {
        (episode.vehicle_id, episode.signal): (episode.start, episode.end)
        for episode in fleet.episodes()
        if episode.kind == "out_of_range"
    }
    for episode, around in concerned(Kind.OUT_OF_RANGE):
        signal = bounds[episode.signal]
        inside = [
            at
            for at, value in decoded(around, episode.signal, episode.arbitration_id)
            if not signal.minimum <= value <= signal.maximum
        ]
        assert episode.start in inside
        assert episode.end in inside
    for row in rows[::7]:
        if row["arbitration_id"] not in {message.frame_id for message in database().messages}:
            continue
        for name, value in database().decode_message(row["arbitration_id"], row["data"], decode_choices=False).items():
            if not bounds[name].minimum <= value <= bounds[name].maximum:
                assert (row["vehicle_id"], name) in truth


def test_a_sudden_deviation_is_one_far_sample():
    spikes = {model.name: model.spike for model in SIGNALS}
    for episode, around in concerned(Kind.SUDDEN_DEVIATION):
        series = decoded(around, episode.signal, episode.arbitration_id)
        values = np.array([value for _, value in series])
        at = [time for time, _ in series].index(episode.start)
        others = np.delete(values, at)
        assert episode.start == episode.end
        assert abs(values[at] - np.median(others)) > 0.7 * spikes[episode.signal]
        assert abs(values[at] - others[max(0, at - 1)]) > 12 * np.std(np.diff(others[max(0, at - 8) : at + 8]))


def test_a_rate_of_change_climbs_for_three_samples_and_returns():
    steps = {model.name: model.ramp for model in SIGNALS}
    for episode, around in concerned(Kind.RATE_OF_CHANGE):
        series = decoded(around, episode.signal, episode.arbitration_id)
        times = [time for time, _ in series]
        first, last = times.index(episode.start), times.index(episode.end)
        assert last - first == 3
        climbs = np.diff([value for _, value in series[first - 1 : last]])
        assert len({np.sign(climb) for climb in climbs}) == 1
        assert (np.abs(climbs) > 0.7 * steps[episode.signal]).all()


def test_a_stuck_message_repeats_while_the_vehicle_drives():
    for episode, around in concerned(Kind.STUCK):
        frozen = [
            row["data"]
            for row in around
            if row["arbitration_id"] == episode.arbitration_id and episode.start <= row["timestamp"] <= episode.end
        ]
        assert episode.end - episode.start >= 20 * SECOND
        assert len(frozen) >= 10
        assert len(set(frozen)) == 1
        if episode.message != "WheelSpeeds":
            speeds = [value for at, value in decoded(around, "VehicleSpeed", 288) if episode.start <= at <= episode.end]
            assert min(speeds) > 5.0


def test_a_missing_message_is_absent():
    cycles = {message.frame_id: message.cycle_time * 1000 for message in database().messages}
    for episode, around in concerned(Kind.MISSING_MESSAGE):
        times = [row["timestamp"] for row in around if row["arbitration_id"] == episode.arbitration_id]
        assert not [at for at in times if episode.start <= at < episode.end]
        assert episode.end in times
        assert episode.end - episode.start >= max(6 * cycles[episode.arbitration_id], 5 * SECOND)


def test_unknown_ids_are_unknown():
    known = {message.frame_id for message in database().messages}
    fleet, rows = wrong(Kind.STUCK)
    for episode, around in concerned(Kind.UNKNOWN_ARBITRATION_ID):
        times = [row["timestamp"] for row in around if row["arbitration_id"] == episode.arbitration_id]
        assert len(times) == 5
        assert episode.start <= min(times) <= max(times) <= episode.end
    truth = {
        (episode.vehicle_id, episode.arbitration_id)
        for episode in fleet.episodes()
        if episode.kind == "unknown_arbitration_id"
    }
    assert truth >= {(row["vehicle_id"], row["arbitration_id"]) for row in rows if row["arbitration_id"] not in known}


def test_a_flood_comes_ten_times_as_often():
    cycles = {message.frame_id: message.cycle_time / 1000 for message in database().messages}
    for episode, around in concerned(Kind.FLOOD):
        times = [
            row["timestamp"]
            for row in around
            if row["arbitration_id"] == episode.arbitration_id and episode.start <= row["timestamp"] <= episode.end
        ]
        seconds = (episode.end - episode.start) / SECOND
        assert seconds >= 2.0
        assert len(times) / seconds >= 10.0 / cycles[episode.arbitration_id]


def test_bodies_carry_only_their_own_vehicles():
    fleet = Fleet(500)
    batch = fleet.tick(fleet.start_us + SECOND // 2)
    made = list(bodies(batch, 200))
    tables = [pa.ipc.open_stream(body.content).read_all() for body in made]
    assert pa.concat_tables([table.cast(pa.schema(CANONICAL)) for table in tables]).to_pylist() == batch.to_pylist()
    assert [body.frames for body in made] == [200] * 6 + [50]
    assert all(len(table.column("vehicle_id").chunk(0).dictionary) <= 200 for table in tables)


@pytest.mark.parametrize("name", ["opendbc/acura_ilx_2016_nidec.dbc", "cantools/floating_point.dbc", "css/gnss.dbc"])
def test_another_database_walks_within_its_ranges(name: str):
    path = Path(__file__).parents[2].parent / "shared" / "data" / "dbc" / name
    if not path.exists():
        pytest.skip(f"needs ../shared/data/dbc/{name}")
    fleet = Fleet(3, rate_hz=20.0, dbc=path, injections=Injections(anomalies=2.0))
    other = cantools.database.load_file(path, strict=False)
    wrong_frames = {episode.arbitration_id for episode in fleet.episodes()}
    rows = columns(take(fleet, 20))
    assert len(rows) == fleet.frames == 3 * 20 * 20
    for row in rows:
        if row["arbitration_id"] not in wrong_frames:
            other.decode_message(row["arbitration_id"], row["data"], decode_choices=False)


def test_nonsense_is_refused():
    for call in (
        lambda: Fleet(0),
        lambda: Fleet(1, rate_hz=0.0),
        lambda: Injections(late=1.5),
        lambda: Injections(anomalies=-1),
    ):
        with pytest.raises(ConfigError):
            call()
