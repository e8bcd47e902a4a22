"""`canfleet down`: stops a running platform and waits until it has drained."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from canfleet.family import read_process
from canfleet.run_file import read_run_file
from pipeline.errors import CanfleetError


def down(
    data_dir: Annotated[Path, typer.Option(help="Data directory of the platform to stop.")] = Path("canfleet-data"),
    timeout: Annotated[float, typer.Option(help="Seconds to wait for it to drain.")] = 90.0,
) -> None:
    """Stop the platform that runs on a data directory; returns when it has drained."""
    pid = int(read_run_file(data_dir)["pid"])
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while _runs(pid):
        if time.monotonic() > deadline:
            raise CanfleetError(f"process {pid} still drains after {timeout:g} s")
        time.sleep(0.1)
    typer.echo("stopped")


def _runs(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and process.alive
