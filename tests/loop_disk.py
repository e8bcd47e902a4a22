"""A disk of a file's own, whose power can be cut: what was written but not synced is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30
_LET_GO_S = 10.0


class LoopDisk:
    """An ext4 file system on a loop device, mounted at `folder`; its backing file is all that a power cut leaves."""

    def __init__(self, image: Path, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self._image = image
        folder.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", str(image))
        self._mount()

    def save(self) -> Path:
        """A copy of what the disk holds at this moment, without what waits in memory to be written."""
        saved = self._image.with_suffix(".saved")
        _run("cp", "--sparse=always", str(self._image), str(saved))
        return saved

    def restore(self, saved: Path) -> None:
        """Be the disk of that moment; nobody may use the folder meanwhile."""
        self.unmount()
        os.replace(saved, self._image)
        self._mount()

    def unmount(self) -> None:
        """Unmount; processes that were just killed may hold files for a moment."""
        give_up = time.monotonic() + _LET_GO_S
        while True:
            try:
                return _run("umount", str(self.folder))
            except OSError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.folder))


@contextmanager
def loop_disk(folder: Path, size_bytes: int) -> Iterator[LoopDisk]:
    """A `LoopDisk` at `folder`, its backing file beside it, as a context.

    Raises:
        OSError: there is none here: it takes root, loop devices and mkfs.ext4.
    """
    if os.geteuid() != 0:
        raise PermissionError("mounting a loop disk takes root")
    if shutil.which("mkfs.ext4") is None:
        raise FileNotFoundError("a loop disk takes mkfs.ext4")
    disk = LoopDisk(folder.with_suffix(".image"), folder, size_bytes)
    try:
        yield disk
    finally:
        disk.unmount()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
