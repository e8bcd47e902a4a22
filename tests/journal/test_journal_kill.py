"""A real process appends, syncs and acknowledges, and is killed at any moment: nothing acknowledged is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import JournalError
from pipeline.journal import Journal

WRITER = """
import random, sys
from pathlib import Path
from pipeline.journal import Journal

journal = Journal.open(Path(sys.argv[1]), 200_000)
n = sum(1 for _ in journal.read(journal.start))
print("open", flush=True)
while True:
    for _ in range(random.randrange(1, 8)):
        journal.append(n, n.to_bytes(8, "little") * (n * 37 % 2000), b"end")
        n += 1
    journal.sync()
    print(n, flush=True)
"""


def start_writer(directory: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    return writer


def test_sigkill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(6):
        with start_writer(tmp_path) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(1, 60)):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            lines = writer.stdout.read().split("\n")
        acknowledged = max((int(line) for line in lines[:-1]), default=0)
        with Journal.open(tmp_path, 200_000) as journal:
            found = list(journal.read(journal.start))
            assert len(found) >= acknowledged
            for n, record in enumerate(found):
                assert record.kind == n
                assert record.payload == n.to_bytes(8, "little") * (n * 37 % 2000) + b"end"
    assert len(found) > 20
    assert journal.report.segments > 1


def test_the_lock_holds_between_processes_and_ends_with_them(tmp_path: Path) -> None:
    with start_writer(tmp_path) as writer:
        with pytest.raises(JournalError, match=f"already open .process {writer.pid}"):
            Journal.open(tmp_path)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    Journal.open(tmp_path).close()
