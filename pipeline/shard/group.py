"""A group: the accepted frames of the submissions that one fsync made durable, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pipeline.frames.columns import FrameColumns
from pipeline.shard.ledger import Tallies, Tally, tally_of
from pipeline.submission import AcceptedRecord
from pipeline.types import I32, I64, Bools
from pipeline.vehicles import VehicleIndex


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Refused rows of one submission."""

    fleet: str
    received_at: int
    request_id: str
    rows: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class Group:
    """Journal records `[start, end)` ready to be processed.

    Attributes:
        frames: accepted frames of all records, in journal order; `vehicle` holds shard-wide indices.
        received_at: int64[n], microseconds, when the gateway took the frame in.
        unverified: bool[n], rows whose identity only the warehouse can tell; None where there are none.
        dead_letters: refused rows by submission.
        traces: the W3C trace contexts that came with the records, each once.
        tallies: what the records add to the ledger.
        n_bytes: size of the records, for the bounds on memory.
    """

    start: int
    end: int
    frames: FrameColumns
    received_at: I64
    unverified: Bools | None
    dead_letters: tuple[DeadLetters, ...]
    traces: tuple[str, ...]
    tallies: Tallies
    n_bytes: int

    def __len__(self) -> int:
        return len(self.frames)


def shard_columns(batch: pa.RecordBatch, fleet: str, vehicles: VehicleIndex, at: int | None = None) -> FrameColumns:
    """View a canonical batch with its vehicles renumbered by the shard's index; `at`: see `VehicleIndex.resolve`."""
    columns = FrameColumns.from_batch(batch)
    if not len(columns):
        return columns
    return replace(columns, vehicle=vehicles.resolve(fleet, columns.vehicles, at)[columns.vehicle])


def concat_columns(parts: Sequence[FrameColumns]) -> FrameColumns:
    """Put columns one behind the other; one part is returned as it is. The vehicle dictionary is dropped.

    O(bytes); every part's `vehicle` must be numbered by the same index.
    """
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return _empty()
    offsets, payloads, base = [np.zeros(1, np.int32)], [], 0
    for part in parts:
        first, last = int(part.offsets[0]), int(part.offsets[-1])
        payloads.append(part.payload[first:last])
        offsets.append(part.offsets[1:] - np.int32(first - base))
        base += last - first
    return FrameColumns(
        vehicles=pa.array([], pa.utf8()),
        vehicle=np.concatenate([part.vehicle for part in parts]),
        timestamp=np.concatenate([part.timestamp for part in parts]),
        arbitration_id=np.concatenate([part.arbitration_id for part in parts]),
        is_extended=np.concatenate([part.is_extended for part in parts]),
        channel=np.concatenate([part.channel for part in parts]),
        offsets=np.concatenate(offsets),
        payload=np.concatenate(payloads),
        counted=np.concatenate([part.counted for part in parts]),
        session=np.concatenate([part.session for part in parts]),
        sequence=np.concatenate([part.sequence for part in parts]),
    )


def build_group(
    start: int,
    end: int,
    records: Sequence[AcceptedRecord],
    vehicles: VehicleIndex,
    columns: FrameColumns | None = None,
) -> Group:
    """Gather the accepted rows of journal records `[start, end)`.

    Args:
        start: offset of the first record.
        end: offset behind the last one.
        records: the records, in journal order.
        vehicles: the shard's index; unknown vehicles are added.
        columns: the records' frames already concatenated, where the caller has them and every row was kept.
    """
    parts: list[FrameColumns] = []
    received_at: list[I64] = []
    unverified: list[Bools] = []
    dead_letters: list[DeadLetters] = []
    traces: dict[str, None] = {}
    tallies: Tallies = {}
    n_bytes = 0
    for record in records:
        submission = record.submission
        tally = Tally(
            received=record.counts.received,
            accepted=record.counts.accepted,
            duplicates=record.counts.duplicates,
            dead_lettered=record.counts.dead_lettered,
        )
        tally_of(tallies, submission.fleet, submission.received_at).add(tally)
        if submission.traceparent is not None:
            traces[submission.traceparent] = None
        if submission.dead_letters is not None and submission.dead_letters.num_rows:
            dead_letters.append(
                DeadLetters(submission.fleet, submission.received_at, submission.request_id, submission.dead_letters)
            )
        if not record.counts.accepted:
            continue
        batch = submission.frames if record.kept is None else submission.frames.filter(pa.array(record.kept))
        n_bytes += batch.nbytes
        if columns is None:
            parts.append(shard_columns(batch, submission.fleet, vehicles, start))
        received_at.append(np.full(batch.num_rows, submission.received_at, np.int64))
        unverified.append(_unverified_of(record, batch.num_rows))
    frames = concat_columns(parts) if columns is None else columns
    doubtful = np.concatenate(unverified) if unverified else np.zeros(0, np.bool_)
    return Group(
        start=start,
        end=end,
        frames=frames,
        received_at=np.concatenate(received_at) if received_at else np.zeros(0, np.int64),
        unverified=doubtful if doubtful.any() else None,
        dead_letters=tuple(dead_letters),
        traces=tuple(traces),
        tallies=tallies,
        n_bytes=n_bytes,
    )


def _unverified_of(record: AcceptedRecord, n: int) -> Bools:
    if record.unverified is None:
        return np.zeros(n, np.bool_)
    return record.unverified if record.kept is None else record.unverified[record.kept]


def _empty() -> FrameColumns:
    none: I32 = np.zeros(0, np.int32)
    return FrameColumns(
        vehicles=pa.array([], pa.utf8()),
        vehicle=none,
        timestamp=np.zeros(0, np.int64),
        arbitration_id=np.zeros(0, np.uint32),
        is_extended=np.zeros(0, np.bool_),
        channel=np.zeros(0, np.uint8),
        offsets=np.zeros(1, np.int32),
        payload=np.zeros(0, np.uint8),
        counted=np.zeros(0, np.bool_),
        session=np.zeros(0, np.uint32),
        sequence=np.zeros(0, np.uint64),
    )
