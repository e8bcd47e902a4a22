"""The vehicle's side where nothing of the platform is installed."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = """
import sys

class Only:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path = [Only(finder) for finder in sys.meta_path]
sys.argv = {argv}
from canfleet.__main__ import main
main()
"""
HIDDEN = {
    *("ray", "numba", "numpy", "pyarrow", "polars", "chdb", "clickhouse_connect", "cantools", "asammdf"),
    *("fastapi", "uvicorn", "starlette", "orjson", "aiohttp", "zstandard", "yaml"),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(hidden=HIDDEN, argv=["canfleet", *arguments])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_upload_is_there_and_the_platform_is_not() -> None:
    shown = run("--help")
    assert shown.returncode == 0, shown.stderr
    assert "upload" in shown.stdout
    assert "simulate" not in shown.stdout
    assert run("upload", "--help").returncode == 0


def test_it_runs_until_it_needs_a_bus(tmp_path) -> None:
    done = run(
        *("upload", "--interface", "socketcan", "--channel", "nowhere0", "--vehicle", "truck-7", "--key", "k"),
        *("--spool", str(tmp_path)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("canfleet upload: ")
    assert "nowhere0" in done.stderr
