"""The duplicate filter of a shard: which frames were accepted before.

A counted frame is identified by (vehicle, session, sequence), any other by (vehicle, timestamp, channel, arbitration
id, data). Check, make durable, mark: a frame is remembered only once it cannot be lost, so that a retry after a failed
write finds it new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import grown, length_for, read_only
from pipeline.dedup.content_hash import hash_contents
from pipeline.dedup.content_set import ContentSets
from pipeline.dedup.sequence_window import SequenceWindows
from pipeline.dedup.settings import DuplicateSettings
from pipeline.dedup.within_batch import BatchRepeats
from pipeline.frames.columns import FrameColumns
from pipeline.types import I32, I64, U8, Bools


class DuplicateFilter:
    """Exact within bounded memory: it says so where it no longer knows.

    One thread checks and marks. `check` leaves the state alone, so another may take a snapshot meanwhile; `mark` and
    `snapshot` exclude each other by the caller's lock.
    """

    def __init__(self, settings: DuplicateSettings) -> None:
        self._sequences = SequenceWindows(settings)
        self._contents = ContentSets(settings)
        self._repeats = BatchRepeats()
        self._hashes: I64 = np.zeros(0, np.int64)

    def check(self, vehicle: I32, frames: FrameColumns) -> U8:
        """Verdict on every frame of a batch.

        Args:
            vehicle: int32[n], dense vehicle indices.
            frames: n frames, in order of arrival.

        Returns:
            uint8[n]: DUPLICATE where the identity was marked or stands in an earlier row of the batch, UNVERIFIED
            where it lies behind what is remembered, NEW where it certainly was never marked. O(n) expected.
        """
        verdicts: U8 = np.zeros(len(frames), np.uint8)
        if not len(frames):
            return verdicts
        vehicle, counted = read_only(vehicle), read_only(frames.counted)
        session, sequence = read_only(frames.session), read_only(frames.sequence)
        timestamp = read_only(frames.timestamp)
        hashes = self._content_hashes(frames, counted)
        self._sequences.check(vehicle, counted, session, sequence, verdicts)
        self._contents.check(vehicle, counted, timestamp, hashes, verdicts)
        self._repeats.find(
            vehicle,
            counted,
            session,
            sequence,
            timestamp,
            read_only(frames.channel),
            read_only(frames.arbitration_id),
            hashes,
            verdicts,
            length_for(vehicle),
        )
        return verdicts

    def mark(self, vehicle: I32, frames: FrameColumns, rows: Bools) -> None:
        """Remember frames as seen: call it once they are durable.

        Marking again what was marked changes no verdict, so a replay may overlap with a snapshot.

        Args:
            vehicle: int32[n], dense vehicle indices.
            frames: n frames.
            rows: bool[n], the frames to remember; whatever their verdict was.
        """
        if not len(frames):
            return
        vehicle, counted, rows = read_only(vehicle), read_only(frames.counted), read_only(rows)
        vehicles = length_for(vehicle)
        self._sequences.mark(vehicle, counted, read_only(frames.session), read_only(frames.sequence), rows, vehicles)
        hashes = self._content_hashes(frames, counted)
        self._contents.mark(vehicle, counted, read_only(frames.timestamp), hashes, rows, vehicles)

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all state."""
        return {
            **{f"sequence.{name}": array for name, array in self._sequences.snapshot().items()},
            **{f"content.{name}": array for name, array in self._contents.snapshot().items()},
        }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `snapshot` gave, in place of everything remembered so far; settings may have changed."""
        for prefix, part in (("sequence.", self._sequences), ("content.", self._contents)):
            part.restore({k.removeprefix(prefix): array for k, array in arrays.items() if k.startswith(prefix)})

    @staticmethod
    def warm() -> None:
        """Compile every kernel, or load it from its cache: seconds that the first frames need not wait."""
        n = 160
        countdown: I64 = np.arange(n, 0, -1, dtype=np.int64)
        frames = FrameColumns(
            vehicles=pa.array([], pa.utf8()),
            vehicle=np.zeros(n, np.int32),
            timestamp=countdown,
            arbitration_id=np.zeros(n, np.uint32),
            is_extended=np.zeros(n, np.bool_),
            channel=np.zeros(n, np.uint8),
            offsets=np.zeros(n + 1, np.int32),
            payload=np.zeros(0, np.uint8),
            counted=countdown % 2 == 0,
            session=np.zeros(n, np.uint32),
            sequence=countdown.astype(np.uint64),
        )
        scratch = DuplicateFilter(DuplicateSettings(content_entries=8 * n))
        scratch.check(frames.vehicle, frames)
        scratch.mark(frames.vehicle, frames, np.ones(n, np.bool_))

    def _content_hashes(self, frames: FrameColumns, counted: Bools) -> I64:
        self._hashes = grown(self._hashes, len(frames))
        hashes = self._hashes[: len(frames)]
        hash_contents(
            counted,
            read_only(frames.channel),
            read_only(frames.arbitration_id),
            read_only(frames.offsets),
            read_only(frames.payload),
            hashes,
        )
        return hashes
