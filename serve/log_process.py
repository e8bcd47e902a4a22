"""The processes that read log files: how many at a time, what each may take, and what a person is told of its end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGXCPU
from typing import Final

import orjson

from pipeline.errors import BodyError, Overloaded, UnknownContentType
from pipeline.light_start import full

READERS: Final = max(2, (os.cpu_count() or 1) // 2)
"""Logs that one replica reads at a time, in a process each."""
READERS_OF_A_FLEET: Final = READERS // 2
"""Of these for one fleet: logs that take long keep no other fleet's logs waiting."""
PATIENCE_S: Final = 60.0
"""How long a log waits to be read; then it is refused with 503."""
READ_LIMIT_S: Final = 120.0
"""A file that is not read by then counts as unreadable; also the most CPU time a reader may have."""
CPU_S: Final = 10.0
CPU_S_A_MIB: Final = 10.0
"""CPU time for a log, and what each MiB of it adds: a slow text format packed to a thirtieth takes 5 s."""
MEMORY_BYTES: Final = 2 << 30
MEMORY_BYTES_A_BYTE: Final = 16
MOST_MEMORY_BYTES: Final = 8 << 30
"""Memory for a log, what each byte of it adds, and the bound of both together."""
_RETRY_AFTER_S: Final = 10.0
_TOLD_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the reader of one file may take.

    Attributes:
        cpu_s: CPU time, whole seconds.
        memory_bytes: private memory.
    """

    cpu_s: int
    memory_bytes: int

    @staticmethod
    def of(size: int) -> Bounds:
        """For a file of `size` bytes."""
        cpu_s = min(READ_LIMIT_S, CPU_S + CPU_S_A_MIB * size / (1 << 20))
        return Bounds(round(cpu_s), min(MOST_MEMORY_BYTES, MEMORY_BYTES + MEMORY_BYTES_A_BYTE * size))


class LogReaders:
    """Reads logs of all fleets, a few at a time. One event loop."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._all = asyncio.Semaphore(READERS)
        self._of_fleet: dict[str, asyncio.Semaphore] = {}

    async def read(self, fleet: str, log: Path, frames: Path, vehicle_id: str, start: str) -> int:
        """Read `log` and write its frames, all of `vehicle_id`, to `frames`, an Arrow IPC file.

        Args:
            fleet: whose log it is.
            log: the file; its ending names the format.
            frames: the file to write.
            vehicle_id: the vehicle that it was recorded in.
            start: when the recording began, RFC 3339; empty for a log that says so itself.

        Returns:
            The number of entries that are no data frames.

        Raises:
            Overloaded: it waited for `PATIENCE_S`, and others are still being read.
            BodyError: the file cannot be read, or not with what its reader may take.
            UnknownContentType: no reader knows its ending.
        """
        async with self._turn(fleet):
            return await read_apart(log, frames, vehicle_id, start)

    @asynccontextmanager
    async def _turn(self, fleet: str) -> AsyncIterator[None]:
        of_fleet = self._of_fleet.setdefault(fleet, asyncio.Semaphore(READERS_OF_A_FLEET))
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await turn.enter_async_context(of_fleet)
                    await turn.enter_async_context(self._all)
            except TimeoutError as error:
                raise Overloaded(
                    f"other logs are still being read after {PATIENCE_S:.0f} s: send this one again later",
                    _RETRY_AFTER_S,
                ) from error
            yield


async def read_apart(log: Path, frames: Path, vehicle_id: str, start: str) -> int:
    """`LogReaders.read` without its turn, in a process of its own: bytes come from anywhere, and parsers are large.

    Who cancels it ends the process.
    """
    bounds = Bounds.of(log.stat().st_size)
    arguments = (str(log), str(frames), vehicle_id, start, str(bounds.cpu_s), str(bounds.memory_bytes))
    environment = full({**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    told, complaints = frames.with_name("answer.json"), frames.with_name("stderr.txt")
    # Into files, of which only the ends are looked at: a library may complain without end.
    with told.open("wb") as stdout, complaints.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "serve.log_reader", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
        )
    try:
        status = await asyncio.to_thread(_wait, process)
    finally:
        process.kill()
    if status is None:
        raise BodyError(f"the log could not be read within {READ_LIMIT_S:.0f} s: split it")
    answer = _end_of(told)
    if status != 0 or not answer:
        raise BodyError(_why(status, bounds, _end_of(complaints)))
    outcome = orjson.loads(answer.rsplit("\n", 1)[-1])
    if "unknown" in outcome:
        raise UnknownContentType(outcome["unknown"])
    if "unreadable" in outcome:
        raise BodyError(outcome["unreadable"])
    return int(outcome["skipped"])


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status; None where it took too long, and was ended."""
    try:
        return process.wait(READ_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def _why(status: int, bounds: Bounds, complaints: str) -> str:
    """In words, why a reader ended without an answer."""
    if status == -SIGXCPU:
        return (
            f"reading the log took more than the {bounds.cpu_s} s of CPU time that a file of its size may take: "
            "it may be damaged; else split it, or convert it to MF4 or BLF"
        )
    if status == -SIGKILL:
        return "the log's reader was ended from outside, perhaps for want of memory: split the log"
    return f"the log's reader gave up with exit status {status}: {complaints.rsplit(chr(10), 1)[-1][:200]}"


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TOLD_BYTES))
        return file.read().decode(errors="replace").strip()
