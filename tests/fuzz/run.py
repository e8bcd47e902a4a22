"""Watches a process for each target, keeps what ends it, starts it again, and tells of all in one table."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fuzz.board import Board, Progress
from tests.fuzz.finding import Finding

ROOT: Final = Path(__file__).parents[2]
MOST_STARTS: Final = 20
"""A target whose process ends this often has shown enough."""
START_S: Final = 180.0
"""How long a process may take to load and to make its first input."""
_POLL_S: Final = 0.2
_COLUMNS: Final = (
    "target",
    "inputs",
    "crashes",
    "unexpected",
    "slow",
    "memory",
    "ended",
    "slowest s",
    "most MB",
    "peak MB",
)


@dataclass(slots=True)
class Outcome:
    """What a target did with all its inputs; `found` are the files that keep them."""

    target: str
    inputs: int = 0
    slowest: float = 0.0
    most: float = 0.0
    peak_kb: int = 0
    found: list[Path] = field(default_factory=list)

    def add(self, progress: Progress) -> None:
        """Count what one process did."""
        self.inputs += progress.inputs
        self.slowest, self.most = max(self.slowest, progress.slowest), max(self.most, progress.most)
        self.peak_kb = max(self.peak_kb, progress.peak_kb)

    @property
    def broken(self) -> bool:
        """Whether any promise was broken."""
        return len(self.found) > self.count("ended")

    def count(self, *kinds: str) -> int:
        """How many different findings there are of some kinds."""
        return sum(path.name.split("-")[-2] in kinds for path in self.found)


def run(
    name: str, seconds: float, seed: int, folder: Path, say: Callable[[str], None], *, checked: bool = False
) -> Outcome:
    """Try inputs of one target for some time, in processes of their own one after the other.

    Args:
        name: the target.
        seconds: how long.
        seed: of the inputs.
        folder: where findings are kept.
        say: told of each.
        checked: whether kernels are compiled to look whether each index is within its array. They are slower.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if checked:
        # Kernels of the two kinds must not share a cache.
        environment |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder / "checked-kernels")}
    outcome, end = Outcome(name), time.monotonic() + seconds
    for start in range(MOST_STARTS):
        left = end - time.monotonic()
        if left <= 0:
            break
        fault = _watch(name, left, seed + start, folder, environment, outcome)
        if fault is None:
            break
        fault.save(folder, name)
        say(f"{name}: {fault.kind}: {fault.what}")
    outcome.found = sorted(folder.glob(f"{name.rpartition(':')[2]}-*.bin"))
    for path in outcome.found:
        say(f"{path}\n{path.with_suffix('.txt').read_text()}")
    return outcome


def _watch(
    name: str, seconds: float, seed: int, folder: Path, environment: Mapping[str, str], outcome: Outcome
) -> Finding | None:
    """Run one process to its end, or end it; what it fell over, or None."""
    board = folder / "board"
    board.unlink(missing_ok=True)
    errors = folder / "stderr.txt"
    command = [sys.executable, "-m", "tests.fuzz.child", name, str(seconds), str(seed), str(folder)]
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(command, cwd=ROOT, stderr=stderr, env=environment) as child,
    ):
        try:
            hung = not _ends(child, board)
        finally:
            child.kill()
    if not board.exists():
        raise RuntimeError(f"{name} did not begin: {errors.read_text()[-2_000:]}")
    seen = Board(board)
    outcome.add(seen.progress())
    body, contained = seen.body(), seen.progress().contained
    seen.close()
    if child.returncode == 0:
        return None
    told = errors.read_text(errors="replace")[-4_000:]
    if hung:
        return Finding("ended" if contained else "hang", "it does not end", told, body)
    return Finding("ended" if contained else "crash", f"exit status {child.returncode}", told, body)


def _ends(child: subprocess.Popen[bytes], board: Path) -> bool:
    """Wait for the end of the process; False where one input takes longer than it may."""
    seen: Board | None = None
    started = time.monotonic()
    while child.poll() is None:
        time.sleep(_POLL_S)
        if seen is None and board.exists() and board.stat().st_size:
            seen = Board(board)
        progress = seen.progress() if seen is not None else Progress()
        # Before its first input it loads, and compiles what no process here has compiled before.
        since, most = (progress.began, progress.hang_s) if progress.began else (started, START_S)
        if time.monotonic() - since > most:
            return False
    if seen is not None:
        seen.close()
    return True


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes, a line each."""
    rows = [_COLUMNS] + [
        (
            one.target,
            f"{one.inputs:,}",
            str(one.count("crash", "hang")),
            str(one.count("unexpected")),
            str(one.count("slow")),
            str(one.count("memory")),
            str(one.count("ended")),
            f"{one.slowest:.3f}",
            f"{one.most:.0f}",
            f"{one.peak_kb / 1024:,.0f}",
        )
        for one in outcomes
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
