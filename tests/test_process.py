"""What a long-lived process prepares at its start: descriptors, heap, and threads that give way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.light_start import full, light
from pipeline.priority import give_way


def outcome(code: str, environment: dict[str, str] | None = None) -> list[int]:
    """The numbers that `code` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_the_descriptor_table_has_grown_before_anything_is_opened() -> None:
    before, after, still_open = outcome(
        "import os\n"
        "from pipeline.descriptors import reserve_descriptors\n"
        "def size():\n"
        "    return next(line.split()[1] for line in open('/proc/self/status') if line.startswith('FDSize'))\n"
        "print(size())\n"
        "reserve_descriptors()\n"
        "print(size(), len(os.listdir('/proc/self/fd')) - 1)\n"
    )
    assert before < after
    assert after >= 1024
    assert still_open == 3


def test_a_low_limit_of_descriptors_is_kept() -> None:
    (limit,) = outcome(
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "from pipeline.descriptors import reserve_descriptors\n"
        "reserve_descriptors()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    assert limit == 100


def test_a_frozen_heap_is_not_looked_at_again() -> None:
    frozen, looked_at = outcome(
        "import gc\n"
        "from pipeline.heap import freeze_heap\n"
        "freeze_heap()\n"
        "print(gc.get_freeze_count(), len(gc.get_objects()))\n"
    )
    assert frozen > 10 * looked_at


LOADED = (
    "import sys\n"
    "import actors.partition, serve.deployments, pyarrow\n"
    "pyarrow.array([1, 2]).to_numpy()\n"
    "print(*(int(name in sys.modules) for name in ('pyarrow', 'pandas', 'polars', 'asammdf')))\n"
)


def test_a_process_of_the_platform_starts_without_what_it_does_not_need() -> None:
    assert outcome(LOADED, light(os.environ)) == [1, 0, 0, 0]


def test_a_reader_of_logs_has_pandas_again() -> None:
    environment = light({**os.environ, "PYTHONPATH": "/nowhere"})
    assert full(environment)["PYTHONPATH"] == "/nowhere"
    assert "PYTHONPATH" not in full(light({}))
    assert outcome("import pandas, asammdf\nprint(1)\n", full(environment)) == [1]


def test_only_the_thread_that_gives_way_is_niced() -> None:
    niceness: list[int] = []

    def work() -> None:
        give_way(5)
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert niceness == [5]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


@pytest.mark.parametrize(("given", "kept"), [("own/kernels", True), ("canfleet/kernels-of-another-release", False)])
def test_a_release_that_is_installed_beside_another_compiles_for_itself(tmp_path: Path, given: str, kept: bool) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / given), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", "import os, pipeline; print(os.environ['NUMBA_CACHE_DIR'])"]
    used = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert (used == str(tmp_path / given)) is kept
    assert used.startswith(str(tmp_path))
