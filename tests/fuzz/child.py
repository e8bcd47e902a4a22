"""The process that tries inputs: `python -m tests.fuzz.child TARGET SECONDS SEED FOLDER`."""

from __future__ import annotations

import faulthandler
import logging
import resource
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.board import MOST_BYTES, Board, Progress
from tests.fuzz.finding import Finding, of_exception
from tests.fuzz.target import Target, target_of

ROOM_BYTES: Final = 4 << 30
"""What the process may take on top of what it has when it begins: a bomb ends it, not the machine."""
WARM_INPUTS: Final = 50
"""The first inputs compile kernels and load libraries: their time and memory say nothing."""


def search(target: Target, name: str, seconds: float, seed: int, folder: Path) -> None:
    """Try inputs for some time; what is found goes into `folder`, and how far it is onto the board in it."""
    board = Board(folder / "board", create=True)
    random, progress = Random(seed), Progress(hang_s=target.hang_s, contained=target.contained)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        body = target.make(random)[:MOST_BYTES]
        progress.size, progress.began = len(body), time.monotonic()
        board.write(progress, body)
        for finding in attempt(target, body, progress):
            finding.save(folder, name)
        board.write(progress)
    board.close()


def attempt(target: Target, body: bytes, progress: Progress) -> list[Finding]:
    """Try one input and count it; what is wrong with how it went."""
    found: list[Finding] = []
    before, began = _peak_kb(), time.process_time()
    try:
        target.attempt(body)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what is searched for)
        found.append(of_exception(error, body))
    took, grown = time.process_time() - began, (_peak_kb() - before) / 1024
    progress.inputs += 1
    progress.peak_kb = _peak_kb()
    if progress.inputs > WARM_INPUTS:
        progress.slowest, progress.most = max(progress.slowest, took), max(progress.most, grown)
        if took > target.seconds:
            found.append(Finding("slow", f"about {round(took)} s", f"{took:.1f} s of CPU", body))
        if grown > target.megabytes:
            found.append(Finding("memory", f"about {round(grown, -2)} MB", f"{grown:.0f} MB more", body))
    return found


def _peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def main(arguments: list[str]) -> None:
    """Search as the command line says."""
    name, seconds, seed, folder = arguments
    # The traceback of a crash goes to standard error, which the watching process keeps.
    faulthandler.enable()
    logging.disable(logging.WARNING)
    logging.getLogger("canfleet.serve").propagate = False
    target = target_of(name)
    _bound_memory()
    search(target, name, float(seconds), int(seed), Path(folder))
    target.close()


if __name__ == "__main__":
    main(sys.argv[1:])
