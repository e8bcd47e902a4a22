"""A canonical frame batch as NumPy arrays: the form the numba kernels read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.types import I32, I64, U8, U32, U64, Bools


@dataclass(frozen=True, slots=True)
class FrameColumns:
    """`n` frames, column by column; mostly views into the batch's own Arrow buffers.

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
        return len(self.vehicle)

    @classmethod
    def from_batch(cls, batch: pa.RecordBatch) -> FrameColumns:
        """View a batch of schema `CANONICAL`. O(n) for the booleans and nullable columns, else O(1)."""
        n = batch.num_rows
        vehicle = batch.column("vehicle_id")
        data = batch.column("data")
        _, offsets_buffer, payload_buffer = data.buffers()
        offsets = np.frombuffer(offsets_buffer, np.int32, n + 1, data.offset * 4) if n else np.zeros(1, np.int32)
        payload = np.frombuffer(payload_buffer, np.uint8) if payload_buffer and payload_buffer.size else np.zeros(0, np.uint8)
        sequence = batch.column("sequence")
        counted = np.asarray(sequence.is_valid().to_numpy(zero_copy_only=False), np.bool_)
        return cls(
            vehicles=vehicle.dictionary,
            vehicle=vehicle.indices.to_numpy(),
            timestamp=batch.column("timestamp").cast(pa.int64()).to_numpy(),
            arbitration_id=batch.column("arbitration_id").to_numpy(),
            is_extended=batch.column("is_extended").to_numpy(zero_copy_only=False),
            channel=batch.column("channel").to_numpy(),
            offsets=offsets,
            payload=payload,
            counted=counted,
            session=batch.column("session").fill_null(0).to_numpy(),
            sequence=sequence.fill_null(0).to_numpy(),
        )
