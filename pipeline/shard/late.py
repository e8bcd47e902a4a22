"""Late duplicates: frames too old for the duplicate filter, told from new ones when they are about to be stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.existing import existing_frames
from pipeline.frames.columns import FrameColumns
from pipeline.shard.group import concat_columns
from pipeline.shard.insert_rows import NameColumns, Processed, binary_data, doubtful_frames
from pipeline.types import I64, Bools


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
    rows, fleets, frames = doubtful_frames(items, names)
    late = repeated(concat_columns([item.group.frames for item in items]), rows)
    for fleet in pc.unique(fleets.cast("string")).to_pylist():
        mine = pc.equal(fleets.cast("string"), fleet)
        late[mine.to_numpy(zero_copy_only=False)] |= existing_frames(warehouse, fleet, frames.filter(mine))
    return rows[late]


def repeated(frames: FrameColumns, rows: I64) -> Bools:
    """bool[k]: which of the frames at `rows` (ascending) repeat the identity of an earlier frame.

    O(frames of the vehicles concerned).
    """
    concerned = np.flatnonzero(np.isin(frames.vehicle, np.unique(frames.vehicle[rows])))
    counted = frames.counted[concerned]
    first: Bools = np.ones(len(frames), np.bool_)
    for mine, identity in (
        (concerned[counted], _counted_identity(frames, concerned[counted])),
        (concerned[~counted], _plain_identity(frames, concerned[~counted])),
    ):
        first[mine] = identity.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    return ~first[rows]


def _counted_identity(frames: FrameColumns, rows: I64) -> pl.DataFrame:
    return pl.DataFrame(
        {"vehicle": frames.vehicle[rows], "session": frames.session[rows], "sequence": frames.sequence[rows]}
    )


def _plain_identity(frames: FrameColumns, rows: I64) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "vehicle": frames.vehicle[rows],
            "timestamp": frames.timestamp[rows],
            "channel": frames.channel[rows],
            "arbitration_id": frames.arbitration_id[rows],
            "data": pl.from_arrow(binary_data(frames).take(pa.array(rows))),
        }
    )
