"""Tenure of a shard's folder: who holds it now, and how whoever held it before is kept from doing harm.

A shard's folder has one folder inside, `epoch-N`, with all that the shard keeps. To take the shard over is to rename
that folder to `epoch-N+1`, which is one atomic step. From then on the holder before, who may hang on a node that
everybody believes dead, finds its own folder gone: it opens, removes and renames files by paths that are no more.
What it still has open is the journal's last segment and its mark, so where its lock is still held, the new holder goes
on with copies of these two, and hard links to the rest.

It therefore acknowledges nothing that the new holder does not know: it looks whether its folder is there after each
sync and before the acknowledgement (`Tenure.check`). Either it looked before the renaming, then the copy, made later,
has its records, or it looked after, and then it raises. On a network file system that holds for one that shows a
renamed folder to whoever asks, without a cache of attributes (NFS: `noac`, or `lookupcache=none`).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from pathlib import Path
from typing import Final

from pipeline.durable import TEMPORARY, make_directory, sync_directory
from pipeline.errors import Fenced, JournalError
from pipeline.journal import mark
from pipeline.journal.segment import SUFFIX

JOURNAL: Final = "journal"
_EPOCH: Final = re.compile(r"epoch-(\d{8})")
_LEFT: Final = ".left"


class Tenure:
    """The right to write into a shard's folder, from `begin` until somebody else begins.

    Attributes:
        epoch: which tenure of the shard it is, from 1.
        path: the folder of this tenure, which exists for as long as it lasts.
    """

    def __init__(self, path: Path, epoch: int) -> None:
        """Not for callers: use `Tenure.begin`."""
        self.path: Final = path
        self.epoch: Final = epoch
        self._identity = _identity(path)

    @classmethod
    def begin(cls, folder: Path) -> Tenure:
        """Take the shard in `folder` over, or begin it. Who held it before cannot acknowledge anything from now on.

        Whether anybody should, is decided elsewhere. O(files), or where the lock is held O(bytes of the last segment).

        Raises:
            JournalError: somebody else took it over at the same moment, or the disk refuses.
        """
        try:
            make_directory(folder)
            epochs = _epochs(folder)
            if not epochs:
                epochs = [_adopt_first(folder)]
            newest = epochs[-1]
            taken = _named(folder, newest + 1)
            _named(folder, newest).rename(taken)
            sync_directory(folder)
            for older in epochs[:-1]:
                shutil.rmtree(_named(folder, older))
            _break_away(taken)
            return cls(taken, newest + 1)
        except OSError as error:
            raise JournalError(f"shard folder {folder} cannot be taken over: {error}; see to its disk") from error

    def check(self) -> None:
        """Return where this tenure still lasts. A microsecond on a local disk.

        Raises:
            Fenced: somebody else has begun one.
            JournalError: the disk does not say.
        """
        try:
            lasts = _identity(self.path) == self._identity
        except FileNotFoundError:
            lasts = False
        except OSError as error:
            raise JournalError(f"shard folder {self.path} cannot be looked at: {error}; see to its disk") from error
        if not lasts:
            raise Fenced(f"{self.path} is gone: another process has taken it over; this one must end")


def current(folder: Path) -> Path:
    """The folder that holds a shard's files at present. Raises FileNotFoundError where the shard was never begun."""
    epochs = _epochs(folder)
    if not epochs:
        raise FileNotFoundError(f"{folder} holds no shard")
    return _named(folder, epochs[-1])


def _named(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:08d}"


def _epochs(folder: Path) -> list[int]:
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _EPOCH.fullmatch(path.name)))


def _identity(path: Path) -> tuple[int, int]:
    """What tells a folder from another one that bears its name later."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _adopt_first(folder: Path) -> int:
    """Epoch 0: empty, or what a version without epochs left in `folder` itself. Begun and cut off, it goes on."""
    first = _named(folder, 0).with_suffix(TEMPORARY)
    make_directory(first)
    for path in sorted(folder.iterdir()):
        if path != first:
            path.rename(first / path.name)
    sync_directory(first)
    first.rename(_named(folder, 0))
    sync_directory(folder)
    return 0


def _break_away(epoch: Path) -> None:
    """Give a journal that somebody still has open a folder, a last segment and a mark of its own."""
    journal, fresh, left = epoch / JOURNAL, epoch / (JOURNAL + TEMPORARY), epoch / (JOURNAL + _LEFT)
    if left.exists() and not journal.exists():
        # Cut off between the two renames below: the copy is whole, and takes its place.
        fresh.rename(journal)
        sync_directory(epoch)
    for leftover in (fresh, left):
        if leftover.exists():
            shutil.rmtree(leftover)
    if not journal.exists() or not _is_locked(journal):
        return
    fresh.mkdir()
    # The mark first: it must not say more than the segment, copied later, holds.
    if (journal / mark.NAME).exists():
        _copy(journal / mark.NAME, fresh / mark.NAME)
    segments = sorted(journal.glob(f"*{SUFFIX}"))
    for segment in segments[:-1]:
        os.link(segment, fresh / segment.name)
    for last in segments[-1:]:
        _copy(last, fresh / last.name)
    sync_directory(fresh)
    journal.rename(left)
    fresh.rename(journal)
    sync_directory(epoch)
    shutil.rmtree(left)


def _is_locked(journal: Path) -> bool:
    try:
        fd = os.open(journal / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    fd = os.open(target, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
