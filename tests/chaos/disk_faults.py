"""Faults of the disk: it is full, forgets what was not synced, or a write was torn when everything died."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from pipeline.journal.mark import read_mark
from pipeline.journal.segment import HEADER_BYTES, SUFFIX, open_segment, record_views
from tests.chaos import processes
from tests.chaos.fault import Fault, KillEverything
from tests.chaos.subject import Subject
from tests.loop_disk import GIB, LoopDisk, loop_disk

_SIZE_MB: Final = 2_048
_POWER_DISK: Final = 16 * GIB
_PIECE: Final = bytes(1 << 20)


@contextmanager
def small_disk(folder: Path) -> Iterator[str | None]:
    """A file system of its own for `folder`, in memory, as a context; yields why there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        yield "mounting a small disk takes root"
        return
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MB}m", "canfleet-chaos", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield f"no small disk can be mounted: {done.stderr.strip()}"
        return
    try:
        yield None
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def power_disk(folder: Path) -> Iterator[LoopDisk | str]:
    """A disk whose power can be cut, for all of the platform's data, as a context; or why there is none."""
    with ExitStack() as stack:
        try:
            disk: LoopDisk | str = stack.enter_context(loop_disk(folder, _POWER_DISK))
        except OSError as error:
            disk = str(error)
        yield disk


class DiskFull(Fault):
    """No byte is left on the journals' disk, for a few seconds."""

    name = "disk-full"
    lasts_s = 4.0

    def __init__(self, folder: Path, reason: str | None) -> None:
        """`folder` is a `small_disk`; `reason` is why it is none."""
        self._ballast = folder / "ballast"
        self._reason = reason

    def impossible(self) -> str | None:
        """Why there is no small disk."""
        return self._reason

    async def inject(self, rng: random.Random) -> None:
        """Fill it up."""
        await asyncio.to_thread(self._fill)

    async def heal(self) -> None:
        """Give the space back."""
        self._ballast.unlink()

    def _fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            for piece in (_PIECE, _PIECE[:1024], _PIECE[:1]):
                try:
                    while file.write(piece) == len(piece):
                        pass
                except OSError:
                    continue  # no room for this size any more


class PowerCut(KillEverything):
    """Every process ends and the disk of all the platform's data forgets what was written and not synced."""

    name = "power-cut"

    def __init__(self, subject: Subject, disk: LoopDisk | str) -> None:
        """`disk` holds the platform's data; or it is why there is none."""
        super().__init__(subject)
        self._disk = disk

    def impossible(self) -> str | None:
        """Why there is no disk whose power could be cut."""
        return self._disk if isinstance(self._disk, str) else None

    async def inject(self, rng: random.Random) -> None:
        """Stop all, note what the disk holds, kill all."""
        self._subject.down = True
        await asyncio.to_thread(processes.kill_family, self._subject.child.pid, self._save)

    async def heal(self) -> None:
        """Start it again on the disk of that moment."""
        assert isinstance(self._disk, LoopDisk)
        await asyncio.to_thread(self._disk.restore, self._saved)
        await super().heal()

    def _save(self) -> None:
        assert isinstance(self._disk, LoopDisk)
        self._saved = self._disk.save()


class TornJournal(KillEverything):
    """Every process is killed and the end of each journal torn, as a power cut does.

    Only bytes behind the durable mark are touched: what a journal synced before it acknowledged stays.
    """

    name = "torn-journal"

    async def inject(self, rng: random.Random) -> None:
        """Kill all, then tear."""
        await super().inject(rng)
        for journal in sorted(self._subject.data_dir.glob("shards/*/epoch-*/journal")):
            tear(journal, rng)


def tear(journal: Path, rng: random.Random) -> None:
    """Cut the last segment somewhere behind the durable mark, then append half a record or garbage."""
    mark = read_mark(journal)
    last = open_segment(max(journal.glob(f"*{SUFFIX}")))
    end = last.base + last.path.stat().st_size - HEADER_BYTES
    durable = max(mark or 0, last.base)
    if mark is None or durable > end:
        return  # nothing says what was synced, so nothing may be cut
    cut = rng.randint(durable, end)
    os.truncate(last.path, last.position(cut))
    garbage = rng.randbytes(rng.randint(1, 4096))
    record = b"".join(record_views(last, cut, durable, 1, [garbage]))
    with last.path.open("ab") as file:
        file.write(rng.choice([garbage, record[: len(record) // 2], bytes(len(garbage))]))
