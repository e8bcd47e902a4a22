"""Accounts: what accepted frames, and later the insert that ClickHouse confirmed, add to ledger and sequence gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from pipeline.gaps.late_frames import LateFrames, late_frames
from pipeline.gaps.sequence_gaps import SequenceGaps
from pipeline.shard.chunk import Chunk
from pipeline.shard.group import Group
from pipeline.shard.insert_rows import NameColumns, Processed
from pipeline.shard.ledger import HOUR_US, Tallies, Tally, tally_of
from pipeline.types import I64, Bools
from pipeline.vehicles import VehicleIndex


def stored_tallies(chunk: Chunk, late: I64, refused: I64, names: NameColumns) -> Tallies:
    """Frames and dead letters stored, by fleet and hour of receipt.

    Late duplicates move from accepted to duplicates, refused frames to dead letters.

    Args:
        chunk: what was inserted.
        late: int64[k], positions of late duplicates among all its frames.
        refused: int64[k], likewise, of frames that ClickHouse refused.
        names: the shard's dictionary columns.
    """
    tallies: Tallies = {}
    for item in chunk.items:
        for letters in item.group.dead_letters:
            tally_of(tallies, letters.fleet, letters.received_at).add(Tally(dead_letters_stored=letters.rows.num_rows))
    items = chunk.with_frames
    if not items:
        return tallies
    vehicle = np.concatenate([item.group.frames.vehicle for item in items])
    hour = np.concatenate([item.group.received_at for item in items]) // HOUR_US

    def count(rows: I64 | Bools, hour: int, each: Callable[[int], Tally]) -> None:
        for fleet, n in names.count_by_fleet(vehicle[rows]).items():
            tally_of(tallies, fleet, hour * HOUR_US).add(each(n))

    for one in np.unique(hour).tolist():
        count(hour == one, one, lambda n: Tally(stored=n))
        count(late[hour[late] == one], one, lambda n: Tally(accepted=-n, duplicates=n, stored=-n))
        count(
            refused[hour[refused] == one],
            one,
            lambda n: Tally(accepted=-n, dead_lettered=n, stored=-n, dead_letters_stored=n),
        )
    return tallies


def verified_frames(items: Sequence[Processed], late: I64, vehicles: VehicleIndex) -> list[LateFrames]:
    """Frames that were unverified when they were accepted and turned out to be new.

    Args:
        items: the groups of an insert that hold frames, in journal order.
        late: int64[k], positions of late duplicates among all their frames.
        vehicles: the shard's index.
    """
    if all(item.group.unverified is None for item in items):
        return []
    new = np.concatenate([_unverified_counted(item) for item in items])
    new[late] = False
    columns = [item.group.frames for item in items]
    return late_frames(
        np.concatenate([frames.vehicle for frames in columns])[new],
        np.concatenate([frames.session for frames in columns])[new],
        np.concatenate([frames.sequence for frames in columns])[new],
        vehicles.fleet,
        vehicles.name,
    )


def _unverified_counted(item: Processed) -> Bools:
    frames, unverified = item.group.frames, item.group.unverified
    return np.zeros(len(frames), np.bool_) if unverified is None else unverified & frames.counted


def count_accepted(gaps: SequenceGaps, group: Group) -> None:
    """Count a group's frames, those left out that only the warehouse can tell from duplicates."""
    frames = group.frames
    rows = frames.counted if group.unverified is None else frames.counted & ~group.unverified
    gaps.count(frames.vehicle, frames.session, frames.sequence, rows)


def count_late(gaps: SequenceGaps, late: Sequence[LateFrames], vehicles: VehicleIndex, at: int) -> None:
    """Count the frames left out so far that were new; they stand at journal offset `at` or behind it. O(entries)."""
    for entry in late:
        [vehicle] = vehicles.resolve(entry.fleet, pa.array([entry.vehicle_id]), at).tolist()
        gaps.add(vehicle, entry.session, entry.oldest, entry.newest, entry.received)
