"""What vehicles gather is sent once, in order, one request at a time, and as the platform reads it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.fleets import drives, new_fleet
from loadtest.spools import Spools, ndjson_lines
from pipeline.frames.body import ARROW, NDJSON, read_body
from pipeline.frames.limits import FrameLimits
from simulator.fleet import Fleet

VEHICLES = 7
START_US = 1_700_000_000_000_000
NOW_US = START_US + 3_600_000_000


def fleet() -> Fleet:
    return new_fleet("test-0-0", VEHICLES, 5.0, START_US, seed=3)


def read(body: bytes, content_type: str, encoding: str | None = None) -> list[dict[str, object]]:
    parsed = read_body(body, content_type, encoding, FrameLimits(), NOW_US)
    assert parsed.rejected is None or parsed.rejected.num_rows == 0
    return parsed.frames.to_pylist()


def test_lines_are_the_frames_that_the_simulator_made() -> None:
    batch = fleet().tick(START_US + 60_000_000)
    found = list(ndjson_lines(batch))
    assert [batch.column("vehicle_id").dictionary[vehicle].as_py() for vehicle, _ in found] == batch.column(
        "vehicle_id"
    ).to_pylist()
    assert read(b"".join(line for _, line in found), NDJSON) == batch.to_pylist()


@settings(max_examples=30)
@given(
    ticks=st.lists(st.floats(0.05, 6.0), min_size=1, max_size=12),
    enough=st.integers(1, 12),
    lag=st.integers(0, 3),
    release=st.booleans(),
)
def test_every_frame_of_a_vehicle_is_sent_once_and_in_order(
    ticks: list[float], enough: int, lag: int, release: bool
) -> None:
    """Requests take `lag` ticks until they are acknowledged."""
    driving, spools = fleet(), Spools(VEHICLES, enough, 15)
    now, taken_frames, made = 0.0, 0, 0
    under_way: dict[int, int] = {}
    bodies: list[list[bytes]] = [[] for _ in range(VEHICLES)]
    for number, tick in enumerate(ticks):
        now += tick
        batch = driving.tick(START_US + round(now * 1e6))
        made += batch.num_rows
        spools.add(batch, now)
        for vehicle in [one for one, since in under_way.items() if number - since >= lag]:
            spools.finished(vehicle)
            del under_way[vehicle]
        if release:
            spools.release(now)
        for vehicle in spools.ready():
            assert vehicle not in under_way
            taken = spools.take(vehicle, now)
            assert taken is not None
            assert taken.frames == taken.body.count(b"\n") <= 15
            assert taken.ready_s <= now
            under_way[vehicle] = number
            taken_frames += taken.frames
            bodies[vehicle].append(taken.body)
    for vehicle in under_way:
        spools.finished(vehicle)
    spools.release(now)
    while ready := spools.ready():
        for vehicle in ready:
            taken = spools.take(vehicle, now)
            assert taken is not None
            spools.finished(vehicle)
            bodies[vehicle].append(taken.body)
            taken_frames += taken.frames
        spools.release(now)
    assert taken_frames == made
    for vehicle, sent in enumerate(bodies):
        rows = read(b"".join(sent), NDJSON) if sent else []
        assert [row["sequence"] for row in rows] == list(range(len(rows)))
        assert {row["vehicle_id"] for row in rows} <= {f"load-test-0-0-{vehicle:05d}"}


def test_after_a_tunnel_all_who_have_anything_are_ready_since_then() -> None:
    driving, spools = fleet(), Spools(VEHICLES, 1_000, 500)
    spools.add(driving.tick(START_US + 1_000_000), 1.0)
    first = spools.ready()
    spools.add(driving.tick(START_US + 20_000_000), 20.0)
    assert spools.release(20.0) == VEHICLES > len(first)
    assert spools.ready() == list(range(VEHICLES))
    found = [spools.take(vehicle, 21.0) for vehicle in range(VEHICLES)]
    assert {taken.ready_s for taken in found if taken} == {20.0}
    assert spools.ready() == []
    assert spools.take(0, 21.0) is None


def test_first_requests_are_spread_so_that_vehicles_do_not_send_together() -> None:
    driving, spools = fleet(), Spools(VEHICLES, 10, 10)
    together = []
    for tick in range(1, 20):
        spools.add(driving.tick(START_US + tick * 200_000), tick * 0.2)
        ready = spools.ready()
        together.append(len(ready))
        for vehicle in ready:
            assert spools.take(vehicle, tick * 0.2) is not None
            spools.finished(vehicle)
    assert max(together) == 1


def test_a_drive_is_one_vehicles_frames_in_order() -> None:
    made = drives(fleet(), 60.0)
    assert len(made) == VEHICLES
    for number, body in enumerate(made):
        rows = read(body.content, ARROW, "zstd")
        assert len(rows) == body.frames >= 290
        assert {row["vehicle_id"] for row in rows} == {f"load-test-0-0-{number:05d}"}
        assert [row["sequence"] for row in rows] == list(range(len(rows)))
        assert rows == sorted(rows, key=lambda row: str(row["timestamp"]))
