"""What `canfleet up` cannot start with, it says in one line and ends: it does not try again and again."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def run_up(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "canfleet", "up", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def broken_database(folder: Path) -> list[str]:
    path = folder / "broken.dbc"
    path.write_text("BO_ nonsense")
    return ["--dbc", str(path)]


def unknown_key(folder: Path) -> list[str]:
    path = folder / "broken.yaml"
    path.write_text("servers: {}")
    return ["--config", str(path)]


def another_layout(folder: Path) -> list[str]:
    (folder / "data").mkdir()
    (folder / "data" / "deployment.json").write_text(json.dumps({"partitions": 3, "shards": 1}))
    return ["--partitions", "4"]


@pytest.mark.parametrize(
    ("mistake", "named"),
    [(broken_database, "broken.dbc"), (unknown_key, "servers"), (another_layout, "3 partitions")],
)
def test_a_mistake_in_the_configuration_ends_it_with_one_line(tmp_path: Path, mistake: object, named: str) -> None:
    assert callable(mistake)
    free = [part for option in ("--port", "--clickhouse-port", "--dashboard-port") for part in (option, "0")]
    done = run_up("--data-dir", str(tmp_path / "data"), *free, *mistake(tmp_path))
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("canfleet: ")
    assert named in line


def nothing_to_take_over(folder: Path) -> list[str]:
    path = folder / "cluster.yaml"
    path.write_text("ray: {address: auto}")
    return ["--config", str(path), "--take-over"]


def a_ray_of_its_own(folder: Path) -> list[str]:
    return ["--take-over"]


@pytest.mark.parametrize(
    ("mistake", "named"), [(nothing_to_take_over, "no platform runs"), (a_ray_of_its_own, "ray.address")]
)
def test_what_cannot_be_taken_over_is_said(tmp_path: Path, mistake: object, named: str) -> None:
    test_a_mistake_in_the_configuration_ends_it_with_one_line(tmp_path, mistake, named)


@pytest.mark.parametrize("option", ["--port", "--clickhouse-port", "--dashboard-port"])
def test_a_taken_port_is_named_with_its_option(tmp_path: Path, option: str) -> None:
    ports = {"--port": "0", "--clickhouse-port": "0", "--dashboard-port": "0"}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports[option] = str(taken.getsockname()[1])
        done = run_up("--data-dir", str(tmp_path), *(part for pair in ports.items() for part in pair))
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert f"127.0.0.1:{ports[option]}" in line
    assert line.endswith(f"choose another with {option}")
