"""The run file: one platform on a folder, and what is left of one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from canfleet.family import Run
from canfleet.run_file import RUN_FILE, RunFile, is_held, read_run_file
from pipeline.errors import CanfleetError

HOLDER = """
import os, sys, time
from pathlib import Path
from canfleet.family import Run
from canfleet.run_file import RunFile
file = RunFile(Path(sys.argv[1]))
file.write(Run.of(os.getpid()), {"url": "http://x"})
print("held", flush=True)
time.sleep(600)
"""


def test_one_platform_at_a_time_and_a_killed_one_leaves_its_name(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        run = Run.of(holder.pid)
        with pytest.raises(CanfleetError, match=f"runs on .* already, process {holder.pid}"):
            RunFile(tmp_path)
        assert read_run_file(tmp_path)["pid"] == holder.pid
        assert read_run_file(tmp_path)["url"] == "http://x"
        assert is_held(tmp_path)
        holder.send_signal(signal.SIGKILL)
    with pytest.raises(CanfleetError, match="no platform runs"):
        read_run_file(tmp_path)
    assert not is_held(tmp_path)
    mine = RunFile(tmp_path)
    assert mine.left == run
    mine.close()


def test_a_clean_end_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CanfleetError, match="no platform runs"):
        read_run_file(tmp_path)
    run = Run.of(os.getpid())
    assert run is not None
    file = RunFile(tmp_path)
    assert file.left is None
    file.write(run, {"url": "a"})
    file.write(run, {"url": "http://longer"})
    file.close()
    again = RunFile(tmp_path)
    assert again.left is None
    again.close()


def test_a_file_cut_off_by_a_power_failure_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).write_bytes(b'{"pid": 1')
    file = RunFile(tmp_path)
    assert file.left is None
    file.close()
