"""The number of a start: larger than that of every start before, even where the spool was lost."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from edge.durable import replace_file
from edge.errors import SpoolError

_LOG: Final = logging.getLogger(__name__)
_FILE: Final = "session"
_LARGEST: Final = 2**32 - 1


def next_session(directory: Path, seen: int, now_s: float) -> int:
    """A session number larger than every one before, durable when this returns.

    It is the time of the start in seconds since 1970 where that is larger than the last session, else the last one
    and one: a folder that was lost does not begin again with numbers that the platform has seen, and a clock that
    went back does not either.

    Args:
        directory: the spool's folder, which keeps the last number in a file.
        seen: the largest session found in the spool's own files.
        now_s: the wall clock, seconds since 1970.

    Raises:
        SpoolError: all 2^32 numbers are used up.
        OSError: the file cannot be read or written.
    """
    last = max(seen, _last_session(directory / _FILE))
    by_time = int(now_s)
    session = by_time if last < by_time <= _LARGEST else last + 1
    if session > _LARGEST:
        raise SpoolError(f"spool {directory} has used up its session numbers: give the vehicle a new id and folder")
    replace_file(directory / _FILE, f"{session}\n".encode())
    return session


def _last_session(path: Path) -> int:
    try:
        text = path.read_text("ascii", "replace")
    except FileNotFoundError:
        return -1
    try:
        return min(_LARGEST, int(text))
    except ValueError:
        _LOG.error("%s holds no number (%r): the session is told from the clock and the spool's files", path, text[:20])
        return -1
