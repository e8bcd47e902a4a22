"""Read recorded CAN logs as canonical batches: every format that python-can reads from a file."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import BodyError, UnknownContentType
from pipeline.frames.log_batch import LogBatch, LogRows
from pipeline.frames.mf4 import read_mf4

if TYPE_CHECKING:
    import can

__all__ = ["FORMATS", "LogBatch", "read_log"]

FORMATS: Final = (".asc", ".blf", ".csv", ".db", ".log", ".mf4", ".trc")
"""File endings of the known formats; each but ".db" may have ".gz" behind it."""

_DEFAULT_ROWS: Final = 65_536


def read_log(
    path: Path, vehicle_id: str, rows_per_batch: int = _DEFAULT_ROWS, start: datetime | None = None
) -> Iterator[LogBatch]:
    """The data frames of a log file, in its order, in batches of at most `rows_per_batch` rows.

    Timestamps are the file's, rounded to the microsecond, so that reading a file again gives identical frames.
    Some formats hold seconds since the recording began: such timestamps stay near 1970, unless `start` says when
    that was. Error frames and remote frames carry no data: they are counted in `LogBatch.skipped`. Channels that
    are not numbers are mapped by `channel_number`. The frames are not validated: see `validate.revalidate`.

    MF4 costs about 0.3 µs a frame, the other formats 3 to 10 µs (python-can). Memory is bounded by the batch,
    but for a MF4 file with several channel groups by the file. Take all batches in one thread: SQLite insists.

    Args:
        path: the file; its ending names the format.
        vehicle_id: the vehicle that it was recorded in.
        rows_per_batch: the most rows of one batch.
        start: added to every timestamp, for a log that counts from zero; must have a time zone.

    Raises:
        UnknownContentType: the ending is not one of `FORMATS`.
        BodyError: the file cannot be read, or not to its end; batches before the damage were given already.
    """
    form = log_format(path)
    shift_us = 0 if start is None else round(start.timestamp() * 1e6)
    batches = (
        read_mf4(path, vehicle_id, rows_per_batch, shift_us)
        if form == ".mf4"
        else _read_with_python_can(path, vehicle_id, rows_per_batch, shift_us)
    )
    try:
        yield from batches
    except BodyError:
        raise
    # Each reader has its own ways to fail on a damaged file, IndexError and struct.error among them.
    except Exception as error:
        raise BodyError(f"log file {path.name!r} is not readable as {form}: {type(error).__name__}: {error}") from error


def log_format(path: Path) -> str:
    """The ending in `FORMATS` that a file's name has, before ".gz" if that is there.

    Raises:
        UnknownContentType: it has none of them.
    """
    endings = [ending.lower() for ending in path.suffixes]
    packed = endings[-1:] == [".gz"]
    if packed:
        endings.pop()
    if not endings or endings[-1] not in FORMATS or (packed and endings[-1] == ".db"):
        raise UnknownContentType(
            f"log file {path.name!r} is of no known format: its name must end in one of {', '.join(FORMATS)}, "
            "and all but .db also with .gz"
        )
    return endings[-1]


def _read_with_python_can(path: Path, vehicle_id: str, rows_per_batch: int, shift_us: int) -> Iterator[LogBatch]:
    rows = LogRows(vehicle_id, shift_us)
    with ExitStack() as stack:
        reader = stack.enter_context(_open(path, stack))
        seen = False
        for message in reader:
            seen = True
            rows.add(message)
            if len(rows) >= rows_per_batch:
                yield rows.take()
        if rows.skipped or len(rows):
            yield rows.take()
        _check_end(reader, path, seen)


def _open(path: Path, stack: ExitStack) -> can.io.generic.MessageReader:
    """python-can's reader of the file, over a stream that we opened and that the stack closes.

    python-can's own `LogReader` knows no "a.b.log.gz", decodes text as the locale says, makes a database that is
    absent, and leaves a file open that turns out to be damaged.
    """
    import can

    form = log_format(path)
    packed = path.suffix.lower() == ".gz"
    if form == ".db":
        with path.open("rb"):
            return can.SqliteReader(path)
    if form == ".blf":
        return can.BLFReader(stack.enter_context(gzip.open(path, "rb") if packed else path.open("rb")))
    readers = {".asc": can.ASCReader, ".csv": can.CSVReader, ".log": can.CanutilsLogReader, ".trc": can.TRCReader}
    opener = gzip.open if packed else open
    # Beyond ASCII there are only comments and names, which must not stop the frames from being read.
    text = stack.enter_context(opener(path, "rt", encoding="utf-8", errors="replace"))
    return readers[form](text)


def _check_end(reader: can.io.generic.MessageReader, path: Path, seen: bool) -> None:
    """Refuse what python-can passes over in silence.

    Raises:
        BodyError: a BLF file shorter than its header says, or a text log without a line that is understood.
    """
    form = log_format(path)
    size = path.stat().st_size
    if form == ".blf" and path.suffix.lower() == ".blf" and reader.file_size > size:
        raise BodyError(f"log file {path.name!r} is truncated: {size} of {reader.file_size} bytes are there")
    headed = form == ".csv" or (form == ".asc" and reader.date is not None)
    if not seen and not headed and form in {".asc", ".log", ".trc", ".csv"} and size:
        raise BodyError(f"log file {path.name!r} holds no line that is a CAN message of a {form} log")
