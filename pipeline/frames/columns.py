"""A canonical frame batch as NumPy arrays: the form the numba kernels read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.frames.vehicles import frozen, utf8_views
from pipeline.types import I32, I64, U8, U32, U64, Bools


def binary_views(data: pa.BinaryArray) -> tuple[I32, U8]:
    """Read-only views of a binary array: offsets int32[n + 1] and bytes uint8[...]. O(1)."""
    return utf8_views(data)


@dataclass(frozen=True, slots=True)
class FrameColumns:
    """`n` frames, column by column; mostly views into the batch's own Arrow buffers.

    All arrays are read-only, contiguous and aligned, so that a kernel sees one type and is compiled once.

    Attributes:
        vehicles: the batch's vehicle dictionary, Arrow utf8.
        vehicle: int32[n], index into `vehicles`.
        timestamp: int64[n], microseconds since the epoch, event time.
        arbitration_id: uint32[n].
        is_extended: bool[n].
        channel: uint8[n].
        offsets: int32[n + 1], row i's data is `payload[offsets[i]:offsets[i + 1]]`.
        payload: uint8[...], the data bytes of all rows.
        counted: bool[n], whether the row carries session and sequence.
        session: uint32[n], 0 where not counted.
        sequence: uint64[n], 0 where not counted.
    """

    vehicles: pa.StringArray
    vehicle: I32
    timestamp: I64
    arbitration_id: U32
    is_extended: Bools
    channel: U8
    offsets: I32
    payload: U8
    counted: Bools
    session: U32
    sequence: U64

    def __len__(self) -> int:
        """How many rows."""
        return len(self.vehicle)

    @classmethod
    def from_batch(cls, batch: pa.RecordBatch) -> FrameColumns:
        """View a batch of schema `CANONICAL`. O(n) for the booleans and columns with nulls, else O(1)."""
        vehicle = batch.column("vehicle_id")
        session, sequence = batch.column("session"), batch.column("sequence")
        offsets, payload = binary_views(batch.column("data"))
        if sequence.null_count:
            counted = np.array(sequence.is_valid().to_numpy(zero_copy_only=False), np.bool_)
            session, sequence = session.fill_null(0), sequence.fill_null(0)
        else:
            counted = np.ones(batch.num_rows, np.bool_)
        return cls(
            vehicles=vehicle.dictionary,
            vehicle=frozen(vehicle.indices.to_numpy()),
            timestamp=frozen(batch.column("timestamp").view(pa.int64()).to_numpy()),
            arbitration_id=frozen(batch.column("arbitration_id").to_numpy()),
            is_extended=frozen(batch.column("is_extended").to_numpy(zero_copy_only=False)),
            channel=frozen(batch.column("channel").to_numpy()),
            offsets=offsets,
            payload=payload,
            counted=frozen(counted),
            session=frozen(session.to_numpy()),
            sequence=frozen(sequence.to_numpy()),
        )
