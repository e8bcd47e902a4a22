"""Send a recorded log as if its vehicle drove again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.frames.logs import read_log
from pipeline.types import I64
from simulator.body import bodies
from simulator.sender import Sender

_MOMENT_US = 200_000
_COUNTERS = ("session", "sequence")


async def replay_log(
    path: Path,
    vehicle_id: str,
    sender: Sender,
    *,
    speed: float = 0.0,
    batch: int = 5_000,
    start: datetime | None = None,
) -> tuple[int, int]:
    """Send the frames of a log; returns (frames read, entries skipped because they carry no data).

    Frames go without session and sequence, so their content is their identity and a second replay adds nothing.

    Args:
        path: the log.
        vehicle_id: who sends.
        sender: opened; the caller waits for its end.
        speed: 1 for the pace of the recording, 2 for twice that; 0 for as fast as the server takes it.
        batch: most frames of a request.
        start: added to every timestamp, for a log that counts from zero.

    Raises:
        BodyError: the file is damaged; what came before the damage was submitted.
        ConfigError: the file cannot be opened.
        CanfleetError: the server refused a body for good.
    """
    loop = asyncio.get_running_loop()
    read = skipped = 0
    first_us: int | None = None
    began = 0.0
    with ThreadPoolExecutor(1, "log") as executor:
        batches = _frames(path, vehicle_id, start)
        while (item := await loop.run_in_executor(executor, next, batches, None)) is not None:
            frames, passed = item
            read += frames.num_rows
            skipped += passed
            if speed <= 0.0:
                for body in bodies(frames, batch):
                    await sender.submit(body)
                continue
            timestamps: I64 = frames.column("timestamp").cast(pa.int64()).to_numpy()
            if first_us is None and len(timestamps):
                first_us, began = int(timestamps[0]), loop.time()
            for begin, end, after_us in _moments(timestamps, first_us or 0, speed):
                due = began + after_us * 1e-6
                await asyncio.sleep(max(0.0, due - loop.time()))
                for body in bodies(frames.slice(begin, end - begin), batch):
                    await sender.submit(body, due)
    return read, skipped


def _frames(path: Path, vehicle_id: str, start: datetime | None) -> Iterator[tuple[pa.RecordBatch, int]]:
    try:
        for batch in read_log(path, vehicle_id, start=start):
            yield batch.frames.drop_columns(_COUNTERS), batch.skipped
    except OSError as error:
        raise ConfigError(f"log file {path}: {error.strerror or error}") from error


def _moments(timestamps: I64, first_us: int, speed: float) -> Iterator[tuple[int, int, float]]:
    """Runs of rows sent together: (begin, end, µs after the start at which the last of them is due).

    A frame recorded out of order goes with the frames before it.
    """
    after = np.maximum.accumulate((timestamps - first_us) / speed)
    moment = np.floor_divide(after, _MOMENT_US)
    edges = [0, *(np.flatnonzero(np.diff(moment)) + 1).tolist(), len(moment)]
    for begin, end in pairwise(edges):
        if end > begin:
            yield begin, end, float(after[end - 1])
