"""Which processes belong to a run: sessions, orphans and recycled ids, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canfleet.family import Process, Run, descendants, end_all, parse_stat, read_process

ids = st.integers(0, 2**22)
ORPHANS = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        if os.fork() == 0:
            os.setpgid(0, 0)  # as Ray's workers do
            time.sleep(600)
        os._exit(0)
for _ in range(3):
    os.wait()
print("forked", flush=True)
time.sleep(600)
"""


@given(ids, st.text(st.characters(codec="ascii", exclude_characters="\n\0"), max_size=15), ids, ids, ids)
def test_a_line_of_proc_stat_is_read_whatever_the_name(
    pid: int, name: str, parent: int, session: int, started: int
) -> None:
    fields = ["S", parent, 7, session, *[0] * 15, started, *[1] * 20]
    line = f"{pid} ({name}) " + " ".join(map(str, fields))
    assert parse_stat(line) == Process(pid, parent, session, name, "S", started)


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    """Leads a session in which three more processes have lost their parents."""
    with subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        assert process.stdout.readline() == b"forked\n"
        run = Run.of(process.pid)
        assert run is not None
        yield process
        end_all(run.members, 10, process.poll)


def test_a_run_is_its_session_and_outlives_its_leader(leader: subprocess.Popen[bytes]) -> None:
    run = Run.of(leader.pid)
    assert run is not None
    assert len(run.members()) == 4
    assert os.getpid() not in {process.pid for process in run.members()}
    leader.kill()
    leader.wait()
    assert len(run.members()) == 3
    assert end_all(run.members, 10)
    assert run.members() == []


def test_a_recycled_id_is_another_run(leader: subprocess.Popen[bytes]) -> None:
    run = Run.of(leader.pid)
    assert run is not None
    assert replace(run, started=run.started - 1).members() == []
    assert replace(run, boot="another").members() == []


def test_descendants_are_all_that_is_below(leader: subprocess.Popen[bytes]) -> None:
    below = {process.pid for process in descendants(os.getpid())}
    assert leader.pid in below
    assert os.getpid() not in below
    assert os.getppid() not in below


def test_ended_processes_are_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert read_process(process.pid) is None
        assert Run.of(process.pid) is None
