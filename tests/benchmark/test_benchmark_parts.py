"""The parts of the benchmark that compute: bars, stream parsing, CPU accounts, backlog, the recording of traffic."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canfleet.benchmark import bars, load, processes, recording, soak
from canfleet.benchmark.bars import Bar
from canfleet.benchmark.detection import scores
from canfleet.benchmark.kernels import _rows, fleet_frames
from canfleet.benchmark.probe import VEHICLE, frame
from canfleet.benchmark.verify import checks
from canfleet.benchmark.visibility import EventParser
from simulator.injections import Injections


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (Bar("rate", 100, 100, "/s"), True),
        (Bar("rate", 100, 99, "/s"), False),
        (Bar("latency", 50, 49.9, "ms", most=True), True),
        (Bar("latency", 50, 50, "ms", most=True), False),
        (Bar("rate", 100, 200, "/s", holds=False), False),
    ],
)
def test_bar_is_met(bar, met):
    assert bar.met is met
    assert bar.as_json()["met"] is met


STREAM = (
    b'retry: 2000\n\nevent: summary\ndata: {"a": 1}\n\n: alive\n\nevent: anomaly\ndata: {"id": "x"}\n\ndata: bare\n\n'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_events_survive_any_cut(cuts):
    parser, events, begin = EventParser(), [], 0
    for end in [*sorted(cuts), len(STREAM)]:
        events += parser.feed(STREAM[begin:end])
        begin = end
    assert events == [("summary", b'{"a": 1}'), ("anomaly", b'{"id": "x"}'), ("message", b"bare")]


def test_stat_of_a_command_with_parentheses_and_spaces():
    fields = ["S", "7", *["0"] * 9, "150", "50", *["0"] * 8, "300"]
    parent, cpu_s, rss = processes.parse_stat(f"42 (ray::A (x) y) {' '.join(fields)}")
    assert parent == 7
    assert cpu_s == 200 / processes._TICKS
    assert rss == 300 * processes._PAGE


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("ray::ClickHouseActor", "ClickHouse"),
        ("ray::PartitionActor.submit", "partition actors"),
        ("ray::ServeReplica:frames:frames", "gateway"),
        ("/tmp/x/haproxy -f /tmp/haproxy.cfg", "HAProxy"),
        ("ray::ServeController", "Ray"),
        ("python -m canfleet up --port 1", "canfleet up"),
        ("sleep 1", "other"),
    ],
)
def test_role_of_a_process(command, role):
    assert processes.role_of(command) == role


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("ray::PartitionActor.submit", "ray::PartitionActor"),
        ("ray::ServeReplica:frames:frames.handle_request", "ray::ServeReplica:frames:frames"),
        ("/venv/bin/python -u /venv/ray/dashboard/agent.py --node-ip-address=1", "agent.py"),
        ("/venv/bin/python -m canfleet up --port 1", "canfleet"),
        ("/venv/lib/python3.11/ray/raylet/raylet --python_worker_command=python setup_worker.py", "raylet"),
        ("", ""),
    ],
)
def test_name_of_a_process(command, name):
    assert processes.name_of(command) == name


def test_growth_compares_medians_of_the_settled_minute_and_the_last_one():
    mib = 2**20
    steady = [soak.Memory(at, 1, "steady", 100 * mib) for at in range(0, 3600, 10)]
    growing = [soak.Memory(at, 2, "growing", round((100 + at / 60) * mib)) for at in range(0, 3600, 10)]
    spike = [soak.Memory(3590, 1, "steady", 900 * mib)]
    ended = [soak.Memory(at, 3, "ended", mib) for at in range(0, 1200, 10)]
    late = [soak.Memory(at, 4, "late", mib) for at in range(3000, 3600, 10)]
    rows = soak.growth([*steady, *growing, *spike, *ended, *late], 3600)
    assert [row["process"] for row in rows] == ["growing", "steady", "ended"]
    assert rows[0]["growth"] == pytest.approx((100 + 59.4) / (100 + 10.4) - 1, rel=0.01)
    assert rows[1]["growth"] == 0
    assert rows[2]["end_mib"] is None


def test_a_process_that_ended_or_a_lost_frame_misses_the_soak_bar():
    def run(growth, checks=True):
        return {"rate": 50_000, "duration_s": 3600, "processes": growth, "checks": {"stored": checks}}

    assert [bar.met for bar in bars.soak_bars(run([{"growth": 0.09}]))] == [True, True]
    assert not bars.soak_bars(run([{"growth": 0.11}]))[0].met
    assert not bars.soak_bars(run([{"growth": 0.0}, {"growth": None}]))[0].met
    assert not bars.soak_bars(run([]))[0].met
    assert not bars.soak_bars(run([{"growth": 0.0}], checks=False))[1].met


def test_account_leaves_the_load_generator_out_of_the_total():
    cpu = [("gateway", 2.0), ("gateway", 1.0), (processes.LOAD_GENERATOR, 5.0), ("ClickHouse", 4.0)]
    account = processes.account(cpu, [("gateway", 2**20)], 1_000_000, 10.0)
    assert account["total"]["cpu_s_per_million"] == pytest.approx(7.0)
    assert account["total"]["cores"] == pytest.approx(0.7)
    assert list(account["roles"]) == ["ClickHouse", "gateway", processes.LOAD_GENERATOR]
    assert account["roles"]["gateway"]["rss_mib"] == 1.0


def test_this_process_is_of_its_own_family():
    import os

    assert os.getpid() in processes.family(os.getpid())


def test_cost_of_messages():
    run = {"processes": {"total": {"cpu_s_per_million": 36.0}}}
    assert bars.cost_per_thousand(run) == pytest.approx(36e-6 * 1000 / 3600 * bars.CORE_HOUR_USD)


def test_a_growing_backlog_is_told_from_a_saw_tooth():
    saw = [(float(second), 40_000 * (1 + second % 2)) for second in range(60)]
    assert not load.backlog_summary(saw, 50_000)["growing"]
    growing = [(at, waiting + 2_000 * at) for at, waiting in saw]
    assert load.backlog_summary(growing, 50_000)["growing"]
    assert load.backlog_summary([], 50_000)["growth_per_s"] == 0.0


def test_checks_tell_what_is_missing():
    counts = {"frames": 9, "identities": 9, "signals": 40, "rolled_up": 40, "rolled_up_1h": 39}
    assert list(checks(counts, 10).values()) == [False, True, True, False]


def test_rows_of_frames_keep_their_payloads():
    frames = fleet_frames(50, 500)
    rows = np.flatnonzero(np.arange(len(frames)) % 3 == 1)
    some = _rows(frames, rows)
    for position, row in enumerate(rows):
        mine = some.payload[some.offsets[position] : some.offsets[position + 1]]
        assert mine.tobytes() == frames.payload[frames.offsets[row] : frames.offsets[row + 1]].tobytes()
    assert np.array_equal(some.timestamp, frames.timestamp[rows])


def test_recording_holds_all_frames_in_full_requests_on_schedule():
    traffic = recording.Traffic(1_000.0, 4.0, 20, Injections(duplicates=0.01, late=0.01))
    taped = recording.Recording(traffic, 100)
    requests = list(taped._requests)
    assert sum(body.frames for _, body in requests) == taped.fleet.frames + taped.fleet.duplicates
    assert taped.fleet.frames == 4_000
    assert [at for at, _ in requests] == sorted(at for at, _ in requests)
    assert requests[-1][0] == 4.0
    assert taped.starts_in_s() > 0


def test_probe_frame_is_one_counted_frame():
    [row] = pa.ipc.open_stream(frame(1_700_000_000_000_000, 5, 7)).read_all().to_pylist()
    assert (row["vehicle_id"], row["session"], row["sequence"]) == (VEHICLE, 5, 7)


def test_scores_as_a_document():
    truth = [{"vehicle_id": "v", "kind": "flood", "signal": None, "arbitration_id": 1, "start": 10, "end": 20,
              "complete": True}]  # fmt: skip
    anomaly = {"vehicle_id": "v", "kind": "flood", "timestamp": 15, "signal": "", "arbitration_id": 1}
    document = scores(truth, [anomaly])
    assert document["overall"]["recall"] == document["kinds"]["flood"]["precision"] == 1.0


def test_what_a_thousand_messages_take() -> None:
    roles = {"gateway": {"cpu_s_per_million": 2.5}}
    run = {"client": {"acknowledged": 50_000, "requests": 10}, "processes": {"roles": roles}}
    took = load.per_thousand(run, 1_000_000, {"frames": {"mib": 1.0, "rows": 50_000, "parts": 3}})
    assert took == {
        "cpu_ms": {"gateway": 2.5},
        "requests": 0.2,
        "sent_bytes": 20_000.0,
        "stored_bytes": {"frames": 2**20 / 50},
    }
