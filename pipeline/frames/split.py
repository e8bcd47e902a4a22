"""Cut, join and store canonical batches (schema `CANONICAL`)."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.errors import BodyError
from pipeline.frames.schema import CANONICAL
from pipeline.frames.vehicles import compact, merge
from pipeline.types import I64, Bools

_WRITE: Final = pa.ipc.IpcWriteOptions(use_threads=False)
_READ: Final = pa.ipc.IpcReadOptions(use_threads=False, ensure_alignment=pa.ipc.Alignment.DataTypeSpecific)


def select(batch: pa.RecordBatch, rows: I64 | Bools) -> pa.RecordBatch:
    """The rows at the indices int64[k], in that order, or where the mask bool[n] is true.

    Vehicle ids that no row uses leave the dictionary. O(k + ids).
    """
    indices = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    return _compacted(batch.take(pa.array(indices)))


def concat(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """All rows of all batches in order, over one dictionary with each used id once. O(rows + ids)."""
    batches = [batch for batch in batches if batch.num_rows]
    if not batches:
        return empty()
    if len(batches) == 1:
        return _compacted(batches[0])
    columns = [batch.column("vehicle_id") for batch in batches]
    vehicles, vehicle = merge([c.dictionary for c in columns], [c.indices.to_numpy() for c in columns])
    rest = [
        pa.concat_arrays([batch.column(position) for batch in batches]) for position in range(1, len(CANONICAL.names))
    ]
    return _with_vehicles(rest, *compact(vehicles, vehicle))


def empty() -> pa.RecordBatch:
    """A canonical batch of no rows."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in CANONICAL], schema=CANONICAL)


def to_ipc(batch: pa.RecordBatch) -> pa.Buffer:
    """The batch as an Arrow IPC stream, its dictionary without unused ids. O(bytes), one copy."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_WRITE) as writer:
        writer.write_batch(_compacted(batch))
    return sink.getvalue()


def from_ipc(buffer: pa.Buffer | bytes | memoryview) -> pa.RecordBatch:
    """The one batch of a stream that `to_ipc` wrote; trusted, not validated. O(1): columns view the buffer.

    A buffer that does not start at a multiple of 8 bytes is read column by column into aligned copies.

    Raises:
        BodyError: not a stream of exactly one batch.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(buffer), options=_READ) as reader:
            batch = reader.read_next_batch()
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise BodyError(f"stored frames are not an Arrow stream of one batch: {error}") from error
    return batch


def _compacted(batch: pa.RecordBatch) -> pa.RecordBatch:
    column = batch.column("vehicle_id")
    indices = column.indices.to_numpy()
    vehicles, vehicle = compact(column.dictionary, indices)
    if vehicle is indices:
        return batch
    return _with_vehicles(batch.columns[1:], vehicles, vehicle)


def _with_vehicles(rest: list[pa.Array], vehicles: pa.StringArray, vehicle: np.ndarray) -> pa.RecordBatch:
    column = pa.DictionaryArray.from_arrays(pa.array(vehicle), vehicles, safe=False)
    return pa.RecordBatch.from_arrays([column, *rest], schema=CANONICAL)
