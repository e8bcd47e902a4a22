"""Frames as tuples, as columns, and a filter made of Python sets to compare with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.dedup.filter import DuplicateFilter
from pipeline.frames.columns import FrameColumns
from pipeline.types import U8
from pipeline.verdicts import DUPLICATE, NEW, UNVERIFIED


class Frame(NamedTuple):
    vehicle: int
    timestamp: int = 0
    arbitration_id: int = 0x100
    data: bytes = b""
    channel: int = 0
    session: int | None = None
    sequence: int | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        if self.sequence is not None:
            return (self.vehicle, self.session, self.sequence)
        return (self.vehicle, self.timestamp, self.channel, self.arbitration_id, self.data)


def counted(vehicle: int, sequence: int, session: int = 1) -> Frame:
    return Frame(vehicle, timestamp=sequence % 1000, session=session, sequence=sequence)


def columns(frames: list[Frame]) -> FrameColumns:
    lengths = [len(frame.data) for frame in frames]
    return FrameColumns(
        vehicles=pa.array([], pa.utf8()),
        vehicle=np.array([frame.vehicle for frame in frames], np.int32),
        timestamp=np.array([frame.timestamp for frame in frames], np.int64),
        arbitration_id=np.array([frame.arbitration_id for frame in frames], np.uint32),
        is_extended=np.zeros(len(frames), np.bool_),
        channel=np.array([frame.channel for frame in frames], np.uint8),
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int32),
        payload=np.frombuffer(b"".join(frame.data for frame in frames), np.uint8),
        counted=np.array([frame.sequence is not None for frame in frames], np.bool_),
        session=np.array([frame.session or 0 for frame in frames], np.uint32),
        sequence=np.array([frame.sequence or 0 for frame in frames], np.uint64),
    )


def check(duplicates: DuplicateFilter, frames: list[Frame]) -> list[int]:
    batch = columns(frames)
    return duplicates.check(batch.vehicle, batch).tolist()


def mark(duplicates: DuplicateFilter, frames: list[Frame], rows: list[bool] | None = None) -> None:
    batch = columns(frames)
    chosen = np.ones(len(frames), np.bool_) if rows is None else np.array(rows, np.bool_)
    duplicates.mark(batch.vehicle, batch, chosen)


def accept(duplicates: DuplicateFilter, frames: list[Frame]) -> list[int]:
    """Check and mark whatever is no duplicate, as a shard does."""
    verdicts = check(duplicates, frames)
    mark(duplicates, frames, [verdict != DUPLICATE for verdict in verdicts])
    return verdicts


def assert_sound(frames: list[Frame], verdicts: list[int] | U8, marked: set[tuple[object, ...]]) -> None:
    """Never DUPLICATE for what was not marked, never NEW for what was, always DUPLICATE for a repeat in the batch."""
    earlier: set[tuple[object, ...]] = set()
    for frame, verdict in zip(frames, verdicts, strict=True):
        if frame.identity in earlier:
            assert verdict == DUPLICATE, f"a repeat within the batch: {frame}"
        elif frame.identity in marked:
            assert verdict in (DUPLICATE, UNVERIFIED), f"marked before: {frame}"
        else:
            assert verdict in (NEW, UNVERIFIED), f"never marked: {frame}"
        earlier.add(frame.identity)
