"""A real vehicle, killed at any moment and started again: what it said it had taken arrives, as it was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from edge_platform import KEY, Platform, moody

from edge.backoff import Backoff
from edge.delivery import Delivery
from edge.rejected import Rejected
from edge.spool import Spool
from edge.uploader import Uploader

HERE = Path(__file__).parent


def drive_and_kill(directory: Path, url: str, lines: int) -> list[tuple[int, int, str]]:
    """Read that many lines of a vehicle, kill it, and return all it said."""
    command = [sys.executable, str(HERE / "edge_vehicle.py"), str(directory), url]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as vehicle:
        assert vehicle.stdout is not None
        said = [vehicle.stdout.readline() for _ in range(lines)]
        vehicle.send_signal(signal.SIGKILL)
        said += vehicle.stdout.readlines()
    assert vehicle.returncode == -signal.SIGKILL
    # The kill may cut the last line.
    return [_numbers(line) for line in said if line.endswith("\n")]


def _numbers(line: str) -> tuple[int, int, str]:
    session, sequence, data = line[:-1].split(" ")
    return int(session), int(sequence), data


def test_what_was_taken_arrives_however_often_the_vehicle_is_killed(tmp_path: Path) -> None:
    chance = random.Random(11)
    spool_directory = tmp_path / "spool"
    said: list[tuple[int, int, str]] = []
    with Platform(chance=moody(5)) as platform:
        for _ in range(4):
            said += drive_and_kill(spool_directory, platform.url, chance.randrange(1, 400))
        acknowledged_before = len(platform.stored)
        delivery = Delivery(platform.url, lambda: KEY)
        with Spool(spool_directory, "truck-7") as spool:
            uploader = Uploader(
                spool, delivery, Rejected(spool_directory), backoff=Backoff(first_s=0.01, longest_s=0.1)
            )
            uploader.start()
            assert uploader.stop(drain_s=60.0)
            assert spool.counts.dropped == spool.counts.unreadable == 0
    taken = {(session, sequence): data for session, sequence, data in said}
    assert len(taken) == len(said) > 100
    assert len({session for session, _ in taken}) == 4
    assert acknowledged_before > 0
    # The platform checks itself that a number which comes again comes with the same frame.
    arrived = {number: frame.data.hex() for number, frame in platform.stored.items() if number in taken}
    assert arrived == taken
    assert not (spool_directory / "rejected.ndjson").exists()
    for session in {session for session, _ in taken}:
        sequences = sorted(sequence for of, sequence in platform.stored if of == session)
        assert sequences == list(range(len(sequences)))
