from __future__ import annotations

import json
import socket
from pathlib import Path

import can
import pyarrow as pa
import pytest
import typer
from simulator_platform import KEY, Platform
from typer.testing import CliRunner, Result

from canfleet.commands.replay import replay
from canfleet.commands.send import send
from canfleet.commands.simulate import simulate
from simulator.body import arrow_stream
from simulator.fleet import Fleet

app = typer.Typer()
app.command("simulate")(simulate)
app.command("replay")(replay)
app.command("send")(send)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """300 frames in 3 s, two of them remote frames, as a candump log."""
    path = tmp_path / "drive-7.log"
    with can.CanutilsLogWriter(path) as writer:
        for number in range(300):
            writer.on_message_received(
                can.Message(
                    timestamp=1_700_000_000 + number / 100,
                    arbitration_id=0x100 + number % 3,
                    is_extended_id=False,
                    is_remote_frame=number in (5, 6),
                    data=b"" if number in (5, 6) else number.to_bytes(8, "big"),
                )
            )
    return path


def test_simulate_prints_a_summary_and_writes_the_truth(platform: Platform, tmp_path: Path):
    truth = tmp_path / "truth.jsonl"
    done = run(
        "simulate", "--url", platform.url, "--key", KEY, "--vehicles", 50, "--duration", 1, "--duplicates", 0.1,
        "--truth", truth, "--zstd", "--json",
    )  # fmt: skip
    assert done.exit_code == 0
    summary = json.loads(done.stdout)
    assert summary["frames"] == summary["accepted"] == 250
    assert summary["acknowledged"] == summary["sent"] == 250 + summary["duplicates"]
    assert summary["latency_ms"]["p99"] > 0
    assert json.loads(truth.read_text().splitlines()[-1])["totals"]["frames"] == 250
    words = run("simulate", "--url", platform.url, "--key", KEY, "--vehicles", 2, "--duration", 0.2)
    assert words.exit_code == 0
    assert "acknowledged   2: 2 accepted" in words.stdout


def test_replay_sends_a_log_once(platform: Platform, log: Path):
    first = run("replay", log, "--url", platform.url, "--key", KEY, "--json")
    assert first.exit_code == 0
    (counts,) = json.loads(first.stdout)
    assert counts["vehicle_id"] == "drive-7"
    assert (counts["read"], counts["accepted"], counts["duplicates"], counts["skipped"]) == (298, 298, 0, 2)
    again = run("replay", log, log, "--url", platform.url, "--key", KEY)
    assert again.exit_code == 0
    assert again.stdout.count("298 frames read, 0 accepted, 298 duplicates, 0 dead letters, 2 entries") == 2
    rows = platform.rows()
    assert "sequence" not in rows[0]
    assert {row["vehicle_id"] for row in rows} == {"drive-7"}
    assert [row["data"] for row in rows[:5]] == [number.to_bytes(8, "big") for number in range(5)]


def test_replay_keeps_the_pace(platform: Platform, log: Path):
    done = run("replay", log, "--url", platform.url, "--key", KEY, "--vehicle", "v", "--speed", 5)
    assert done.exit_code == 0
    assert len(platform.bodies) >= 3
    assert [row["data"] for row in sorted(platform.rows(), key=lambda row: row["timestamp"])] == [
        number.to_bytes(8, "big") for number in range(300) if number not in (5, 6)
    ]


@pytest.mark.parametrize("form", ["stream", "file"])
def test_send_posts_an_arrow_file(platform: Platform, tmp_path: Path, form: str):
    fleet = Fleet(5)
    batch = fleet.tick(fleet.start_us + 2_000_000)
    path = tmp_path / "frames.arrow"
    if form == "stream":
        path.write_bytes(arrow_stream(batch))
    else:
        with pa.ipc.new_file(path, batch.schema) as writer:
            writer.write_batch(batch)
    done = run("send", path, "--url", platform.url, "--key", KEY, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"received": 50, "accepted": 50, "duplicates": 0, "dead_lettered": 0}
    assert platform.rows() == batch.to_pylist()
    if form == "stream":
        assert platform.bodies == [path.read_bytes()]


def test_failures_are_one_clear_line(platform: Platform, tmp_path: Path, log: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}"
    broken = tmp_path / "broken.blf"
    broken.write_bytes(b"LOGG" + bytes(20))
    text = tmp_path / "frames.arrow"
    text.write_text("no arrow")
    good = tmp_path / "good.arrow"
    good.write_bytes(arrow_stream(Fleet(1).tick(1_700_000_001_000_000)))
    here, key = ("--url", platform.url), ("--key", KEY)
    failures = {
        ("replay", broken, *here, *key): "broken.blf",
        ("replay", tmp_path / "absent.asc", *here, *key): "absent.asc",
        ("replay", tmp_path / "notes.txt", *here, *key): "no known format",
        ("replay", log, *here, "--key", "wrong"): "401: no valid key",
        ("replay", log, "--url", nowhere, *key): "does not answer",
        ("send", text, *here, *key): "no Arrow file",
        ("send", tmp_path / "absent.arrow", *here, *key): "absent.arrow",
        ("send", good, *here, "--key", "wrong"): "401: no valid key",
        ("send", good, "--url", "http://", *key): "http://",
        ("simulate", *here, "--key", "wrong", "--duration", 1): "401: no valid key",
        ("simulate", "--url", nowhere, *key, "--duration", 1): "does not answer",
        ("simulate", *here, *key, "--dbc", text): "frames.arrow",
        ("simulate", *here, *key, "--truth", tmp_path / "no" / "truth"): "folder does not exist",
    }
    for arguments, words in failures.items():
        done = run(*arguments)
        assert done.exit_code == 1, arguments
        assert words in done.stderr, arguments
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_simulate_fails_when_frames_stay_unacknowledged(platform: Platform, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("simulator.sender.Retry.__init__.__defaults__", (0.01, 0.02, 0.3), raising=True)
    platform.mishaps = [503] * 10_000
    done = run("simulate", "--url", platform.url, "--key", KEY, "--vehicles", 1, "--duration", 0.2, "--json")
    assert done.exit_code == 1
    assert "1 frames were not acknowledged" in done.stderr
    assert json.loads(done.stdout)["acknowledged"] == 0
