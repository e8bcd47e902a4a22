"""The process that reads one log file: `python -m serve.log_reader LOG FRAMES VEHICLE START`.

Writes canonical batches to FRAMES, an Arrow IPC file, and one line of JSON to standard output:
`{"skipped": n}`, `{"unreadable": reason}` or `{"unknown": reason}`. START is RFC 3339 or empty.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pipeline.errors import BodyError, UnknownContentType
from pipeline.frames.logs import read_log
from pipeline.frames.schema import CANONICAL

ROWS_PER_BATCH: Final = 20_000
MAX_MEMORY_BYTES: Final = 8 << 30
MAX_OUTPUT_BYTES: Final = 4 << 30
"""Bounds of the process, so that a file that unpacks without end harms nobody else."""


def convert(log: Path, frames: Path, vehicle_id: str, start: datetime | None) -> dict[str, Any]:
    """Read `log` and write its frames; the answer for standard output."""
    skipped = 0
    try:
        # The dictionary of each batch with frames is the same single vehicle, so the file format's one fits.
        with pa.OSFile(str(frames), "wb") as sink, pa.ipc.new_file(sink, CANONICAL) as writer:
            for batch in read_log(log, vehicle_id, ROWS_PER_BATCH, start):
                skipped += batch.skipped
                if batch.frames.num_rows:
                    writer.write_batch(batch.frames)
    except UnknownContentType as error:
        return {"unknown": str(error)}
    except BodyError as error:
        return {"unreadable": str(error)}
    except MemoryError:
        return {"unreadable": f"the log needs more than {MAX_MEMORY_BYTES >> 30} GiB of memory to read: split it"}
    return {"skipped": skipped}


def main(arguments: list[str]) -> None:
    """Convert as the command line says."""
    log, frames, vehicle_id, start = arguments
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES))
    answer = convert(Path(log), Path(frames), vehicle_id, datetime.fromisoformat(start) if start else None)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
