"""Frames as request bodies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import zstandard

from simulator.fleet import used_vehicles


@dataclass(frozen=True, slots=True)
class Body:
    """One request: an Arrow IPC stream, compressed or not, and the number of frames in it."""

    content: bytes
    frames: int
    zstd: bool = False


def bodies(batch: pa.RecordBatch, most_frames: int, *, zstd: bool = False) -> Iterator[Body]:
    """Cut a batch into requests of at most `most_frames` frames, each with a dictionary of its own vehicles."""
    for begin in range(0, batch.num_rows, most_frames):
        part = used_vehicles(batch.slice(begin, most_frames))
        content = arrow_stream(part)
        yield Body(zstandard.compress(content, 1) if zstd else content, part.num_rows, zstd)


def arrow_stream(batch: pa.RecordBatch) -> bytes:
    """The batch as an Arrow IPC stream. O(bytes)."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content
