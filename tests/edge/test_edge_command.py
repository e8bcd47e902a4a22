"""`canfleet upload` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from edge_platform import KEY, TAKE, Platform, Reply

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE_S = 60.0


def start(directory: Path, url: str, *more: str, channel: str = "can4", interface: str = "virtual") -> list[str]:
    return [
        *(sys.executable, str(HERE / "edge_command.py")),
        *("--interface", interface, "--channel", channel, "--vehicle", "truck-7"),
        *("--url", url, "--spool", str(directory), *more),
    ]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CANFLEET_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def after(count: int, done: Event) -> Callable[[], Reply]:
    """Takes everything, and says when it has taken `count` requests."""
    seen = 0

    def reply() -> Reply:
        nonlocal seen
        seen += 1
        if seen == count:
            done.set()
        return TAKE

    return reply


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_sends_until_it_is_stopped_and_drains(tmp_path: Path, number: signal.Signals) -> None:
    done = Event()
    with Platform(chance=after(1, done)) as platform:
        command = start(tmp_path, platform.url, "--json")
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(CANFLEET_KEY=KEY)
        ) as process:
            assert done.wait(PATIENCE_S)
            process.send_signal(number)
            output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    summary = json.loads(output)
    assert summary["all_sent"]
    assert summary["received"] == summary["taken"] == summary["sent"] == len(platform.stored) > 0
    assert {frame.channel for frame in platform.stored.values()} == {4}
    assert not list(tmp_path.glob("*.spool"))


def test_a_wrong_key_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("wrong\n")
    with Platform() as platform:
        command = start(tmp_path / "spool", platform.url, "--key-file", str(key_file), "--drain", "0")
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        ) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            output, rest = process.communicate(timeout=PATIENCE_S)
    assert line.startswith("canfleet upload: http://127.0.0.1:")
    assert "answered 401: says the test" in line
    assert "give a key with scope ingest" in line
    assert (process.returncode, rest) == (0, "")
    assert "the rest waits in the spool" in output
    assert list((tmp_path / "spool").glob("*.spool"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"interface": "socketcan", "channel": "nocan0"}, "bus nocan0 (socketcan) cannot be opened"),
        ({"url": "nonsense"}, "'nonsense' is no URL"),
        ({"key": ""}, "no key: give --key, --key-file or CANFLEET_KEY"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path: Path, options: dict[str, str], words: str) -> None:
    bus = {name: options[name] for name in ("interface", "channel") if name in options}
    command = start(tmp_path, options.get("url", "http://127.0.0.1:9"), "--key", options.get("key", KEY), **bus)
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"canfleet upload: {words}")


def test_a_vehicle_needs_nothing_of_the_platform() -> None:
    script = """
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

HEAVY = {"ray", "numba", "numpy", "pyarrow", "aiohttp", "orjson", "yaml", "pydantic", "zstandard", "polars"}
OURS = {"pipeline", "actors", "serve", "simulator", "loadtest"}

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY | OURS:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
for path in sorted(Path("edge").glob("*.py")):
    __import__(f"edge.{path.stem}" if path.stem != "__init__" else "edge")
import canfleet.commands.upload
assert not (HEAVY | OURS) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=ROOT, env=environment(), check=True)
