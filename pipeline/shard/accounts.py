"""Accounts: what accepted frames, and later the insert that ClickHouse confirmed, add to ledger and sequence gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.gaps.late_frames import LateFrames, late_frames
from pipeline.gaps.sequence_gaps import SequenceGaps
from pipeline.shard.group import Group
from pipeline.shard.insert_rows import NameColumns, Processed
from pipeline.shard.ledger import HOUR_US, Tallies, Tally
from pipeline.types import I64, Bools
from pipeline.vehicles import VehicleIndex


def stored_tallies(items: Sequence[Processed], late: I64, names: NameColumns) -> Tallies:
    """Frames stored, by fleet and hour of receipt; late duplicates move from accepted to duplicates.

    Args:
        items: the groups of the insert, in journal order, none of them empty.
        late: int64[k], positions of late duplicates among all their frames.
        names: the shard's dictionary columns.
    """
    vehicle = np.concatenate([item.group.frames.vehicle for item in items])
    hour = np.concatenate([item.group.received_at for item in items]) // HOUR_US
    tallies: Tallies = {}
    for one in np.unique(hour).tolist():
        for fleet, count in names.count_by_fleet(vehicle[hour == one]).items():
            tallies.setdefault(fleet, {})[one] = Tally(stored=count)
        for fleet, count in names.count_by_fleet(vehicle[late[hour[late] == one]]).items():
            tallies[fleet][one].add(Tally(accepted=-count, duplicates=count, stored=-count))
    return tallies


def verified_frames(items: Sequence[Processed], late: I64, vehicles: VehicleIndex) -> list[LateFrames]:
    """Frames that were unverified when they were accepted and turned out to be new; arguments as above."""
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


def count_late(gaps: SequenceGaps, late: Sequence[LateFrames], vehicles: VehicleIndex) -> None:
    """Count the frames left out so far that were new. O(entries)."""
    for entry in late:
        [vehicle] = vehicles.resolve(entry.fleet, pa.array([entry.vehicle_id])).tolist()
        gaps.add(vehicle, entry.session, entry.oldest, entry.newest, entry.received)
