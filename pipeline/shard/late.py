"""Late duplicates: frames too old for the duplicate filter, told from new ones when they are about to be stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from pipeline.clickhouse.client import Warehouse
from pipeline.dedup.filter import DuplicateFilter
from pipeline.dedup.settings import DuplicateSettings
from pipeline.shard.group import concat_columns
from pipeline.shard.insert_rows import NameColumns, Processed, doubtful_frames
from pipeline.types import I64, Bools
from pipeline.verdicts import DUPLICATE


def late_duplicates(warehouse: Warehouse, items: Sequence[Processed], names: NameColumns) -> I64:
    """int64[k], positions of unverified frames that are stored already, or stand earlier among these.

    Exact where all frames that were journaled before `items` are stored. One query for each 5,000 unverified frames.

    Args:
        warehouse: to ask.
        items: groups with frames, in journal order.
        names: the shard's dictionary columns.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    if all(item.group.unverified is None for item in items):
        return np.zeros(0, np.int64)
    # With it comes polars, a sixth of what a shard's process imports, and a shard that starts again has frames waiting.
    from pipeline.clickhouse.existing import existing_frames

    rows, fleets, frames = doubtful_frames(items, names)
    late = _repeated(items)[rows]
    for fleet in pc.unique(fleets.cast("string")).to_pylist():
        mine = pc.equal(fleets.cast("string"), fleet)
        late[mine.to_numpy(zero_copy_only=False)] |= existing_frames(warehouse, fleet, frames.filter(mine))
    return rows[late]


def _repeated(items: Sequence[Processed]) -> Bools:
    """bool[n] over the frames of `items`: whether an earlier one of them has the same identity. O(n)."""
    frames = concat_columns([item.group.frames for item in items])
    return DuplicateFilter(DuplicateSettings(content_entries=0)).check(frames.vehicle, frames) == DUPLICATE
