"""ClickHouse's lists of deduplication tokens, made to agree with its parts after a power cut or a kill at any moment.

For every part of an insert ClickHouse appends the token to a list of the table, without syncing it, then renames the
part to its name, and syncs that name. What ends it in between leaves one without the other: a part without its token is
stored twice when the insert is sent again, a token without its part has the insert dropped for a duplicate. Here the
kernel writes the lists through, so that a token is on the disk before its part has a name; and before the engine opens
its data, a last token whose part is not there is taken off its list. Why so: docs/decisions/tokens.md.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from actors.clickhouse_host.write_through import set_flag
from pipeline.durable import sync_directory

_FOLDERS: Final = "store/*/*/deduplication_logs"
_NUMBER: Final = re.compile(r"deduplication_log_(\d+)\.txt")
_PART: Final = re.compile(r"(?P<partition>.+?)_(?P<first>\d+)_(?P<last>\d+)_\d+(?:_\d+)?")
_ADDED: Final = re.compile(rb"1\t(?P<part>[^\t]+)\t")

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """What a part's name says: a partition, and the first and the last insert in it."""

    partition: str
    first: int
    last: int

    @classmethod
    def named(cls, name: str) -> Part | None:
        """From the name of a part, such as `202311_4_9_2` or, once mutated, `202311_4_9_2_10`; None for any other."""
        found = _PART.fullmatch(name)
        return cls(found["partition"], int(found["first"]), int(found["last"])) if found else None

    def holds(self, other: Part) -> bool:
        """Whether it is `other`, or was merged from it and more."""
        return self.partition == other.partition and self.first <= other.first and other.last <= self.last


class TokenLogs:
    """The lists of all tables of one engine. May be used from several threads, but for `mend`."""

    def __init__(self, disks: Sequence[Path]) -> None:
        """Of the tables on `disks`: the folders of ClickHouse's disks, cold ones too, since parts move there."""
        self._disks = disks
        self._through: set[Path] = set()

    def mend(self) -> None:
        """Take off what has no part; before the engine opens the data.

        A table's parts are committed one by one, so at most the last record is in question; and a record that was
        half written ends the list, as nothing behind it would ever be read.

        Raises:
            OSError: a list cannot be read or cut.
        """
        for folder in self._folders():
            parts = self._parts(folder.parent)
            logs = [path for path in folder.iterdir() if _NUMBER.fullmatch(path.name)]
            # A list is followed by a new, empty one where it is full.
            for path in sorted(logs, key=_number, reverse=True):
                if _mend(path, parts):
                    break

    def write_through(self) -> None:
        """Have the kernel sync each token as it is written, in the tables that were made since the last call too."""
        for folder in self._folders():
            if folder in self._through:
                continue
            try:
                for path in (folder, *folder.iterdir()):
                    set_flag(path)
                    _sync(path)
                sync_directory(folder.parent)
            except FileNotFoundError:
                continue  # the table was dropped meanwhile
            except OSError as error:
                what = "%s cannot be written through: inserts that a power cut interrupts may be stored twice (%s)"
                log.info(what, folder, error)
            self._through.add(folder)

    def _folders(self) -> Iterator[Path]:
        for disk in self._disks:
            yield from disk.glob(_FOLDERS)

    def _parts(self, table: Path) -> set[Part]:
        """Of a table, on whichever disk; `table` is its folder on one of them."""
        within = Path(*table.parts[-3:])
        folders = [disk / within for disk in self._disks]
        names = [name for folder in folders if folder.is_dir() for name in os.listdir(folder)]
        return {part for part in map(Part.named, names) if part is not None}


def _mend(path: Path, parts: set[Part]) -> bool:
    """Cut one list; whether anything is left of it."""
    held = path.read_bytes()
    kept = held[: held.rfind(b"\n") + 1]
    # Several tokens may speak of one part.
    lost = _lost(kept[_last(kept) :], parts)
    while lost is not None and kept.startswith(lost, _last(kept)):
        kept = kept[: _last(kept)]
    if len(kept) < len(held):
        log.warning("%s: %r is taken off, for its part was never stored", path, held[len(kept) :])
        os.truncate(path, len(kept))
        _sync(path)
    return len(kept) > 0


def _last(records: bytes) -> int:
    """Where the last record begins."""
    return records.rfind(b"\n", 0, max(len(records) - 1, 0)) + 1


def _lost(record: bytes, parts: set[Part]) -> bytes | None:
    """The beginning of a record that says of a part which is not there that it was added; None of any other."""
    found = _ADDED.match(record)
    part = Part.named(found["part"].decode()) if found else None
    if found is None or part is None or any(other.holds(part) for other in parts):
        return None
    return found[0]


def _number(path: Path) -> int:
    found = _NUMBER.fullmatch(path.name)
    return int(found[1]) if found else 0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
