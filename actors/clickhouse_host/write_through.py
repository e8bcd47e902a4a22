"""Have the kernel write a folder's files through to the disk.

ClickHouse syncs neither the files of a part that it moves to another disk nor their names, and deletes the old ones at
once: a power cut within half a minute would lose the part. Files that are created in a folder with this flag are synced
as they are written, as on a file system that is mounted with `sync`. `lsattr` shows it as S.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

_GET_FLAGS: Final = 0x80086601
_SET_FLAGS: Final = 0x40086602
_SYNC: Final = 0x8
_DEPTH: Final = 4
"""Of a table's folders, `store/abc/UUID/moving`: parts are created below them."""


def write_through(folder: Path) -> bool:
    """Set the flag on `folder` and the tables' folders in it; what is created there inherits it.

    Returns:
        False where the file system has no such flag: ext4 and XFS have, overlays and network file systems have not.
    """
    try:
        set_flag(folder)
        for path, folders, _ in os.walk(folder):
            if len(Path(path).relative_to(folder).parts) >= _DEPTH:
                folders.clear()
            for name in folders:
                set_flag(Path(path, name))
    except OSError:
        return False
    return True


def set_flag(path: Path) -> None:
    """Set the flag on one folder or file.

    Raises:
        OSError: the file system has no such flag, or there is no `path`.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        held = struct.unpack("i", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("i", 0))[:4])[0]
        if not held & _SYNC:
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("i", held | _SYNC))
    finally:
        os.close(descriptor)
