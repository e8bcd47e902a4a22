"""The process that reads one log file: `python -m serve.log_reader LOG FRAMES VEHICLE START CPU_S MEMORY_BYTES`.

Writes canonical batches to FRAMES, an Arrow IPC file, and one line of JSON to standard output:
`{"skipped": n}`, `{"unreadable": reason}` or `{"unknown": reason}`. START is RFC 3339 or empty. A process that takes
more CPU time than CPU_S ends with SIGXCPU.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pipeline.errors import BodyError, UnknownContentType
from pipeline.frames.logs import read_log
from pipeline.frames.schema import CANONICAL
from pipeline.priority import PROCESSING

ROWS_PER_BATCH: Final = 20_000
MAX_OUTPUT_BYTES: Final = 4 << 30
"""Bound of the frames, so that a file that unpacks without end fills no disk."""


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
    except (BodyError, MemoryError) as error:
        if isinstance(error.__cause__ or error, MemoryError):
            return {"unreadable": "the log needs more memory to read than a file of its size may take: split it"}
        return {"unreadable": str(error)}
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        return {"unreadable": f"the log holds more than {MAX_OUTPUT_BYTES >> 30} GiB of frames: split it"}
    return {"skipped": skipped}


def bound(cpu_s: int, memory_bytes: int) -> None:
    """Bound what this process may take, and let others go first: for processor, and for staying alive."""
    # A second later SIGKILL, should a library ignore the signal; and no core file.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not the address space: the mapped log is no memory taken, and libraries reserve gigabytes that they never use.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES))
    os.nice(PROCESSING)
    # Where memory ends all the same, the kernel ends this process and no other.
    Path("/proc/self/oom_score_adj").write_text("1000")


def main(arguments: list[str]) -> None:
    """Convert as the command line says."""
    log, frames, vehicle_id, start, cpu_s, memory_bytes = arguments
    bound(int(cpu_s), int(memory_bytes))
    # asammdf and python-can complain of every block and line that they do not understand.
    logging.disable()
    answer = convert(Path(log), Path(frames), vehicle_id, datetime.fromisoformat(start) if start else None)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
