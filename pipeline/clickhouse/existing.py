"""Which frames are stored already: asked for rows too old for duplicate detection in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.clickhouse.client import Warehouse
from pipeline.types import I32, I64, Bools

_ROWS_A_QUERY: Final = 5_000
_VEHICLES_A_QUERY: Final = 1_500
"""Both keep every parameter below 128 KiB, the most that a ClickHouse server takes in one form field by default."""

_STORED: Final = """
SELECT vehicle_id, toUnixTimestamp64Micro(f.timestamp) AS time, session, sequence, channel, arbitration_id, data
FROM frames AS f
WHERE fleet = {fleet:String}
    AND vehicle_id IN {vehicles:Array(String)}
    AND f.timestamp >= fromUnixTimestamp64Micro({first:Int64}, 'UTC')
    AND f.timestamp <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
    AND toUnixTimestamp64Micro(f.timestamp) IN {times:Array(Int64)}
"""

_AS_IT_IS: Final = ("session", "sequence", "channel", "arbitration_id", "data")
_COUNTED: Final = ["vehicle_id", "session", "sequence"]
_PLAIN: Final = ["vehicle_id", "time", "channel", "arbitration_id", "data"]


def existing_frames(warehouse: Warehouse, fleet: str, frames: pa.Table | pa.RecordBatch) -> Bools:
    """Which of `frames` are in the table `frames` under the same identity.

    The identity is (vehicle, session, sequence) where a frame carries them, else (vehicle, timestamp, channel,
    arbitration id, data). Only stored frames with the timestamp of one of the asked are looked at: a frame that comes
    again comes with the timestamp it had.

    Args:
        warehouse: a migrated one.
        fleet: whose frames these are.
        frames: n rows of schema `CANONICAL`, about 100,000 at most.

    Returns:
        bool[n]. One query for each 5,000 rows, each over those vehicles and that time; O(n log n) here.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    n = frames.num_rows
    if n == 0:
        return np.zeros(0, np.bool_)
    table = pa.Table.from_batches([frames]) if isinstance(frames, pa.RecordBatch) else frames
    asked = pl.DataFrame(
        {
            "vehicle_id": pl.from_arrow(table["vehicle_id"].cast(pa.utf8())),
            "time": table["timestamp"].cast(pa.int64()).to_numpy(),
            **{
                name: pl.from_arrow(table[name])
                for name in ("session", "sequence", "channel", "arbitration_id", "data")
            },
        }
    ).with_row_index("row")
    stored = [_stored(warehouse, fleet, part) for part in _parts(asked)]
    found = pl.concat(stored)
    counted = asked.filter(pl.col("sequence").is_not_null()).join(found, on=_COUNTED, how="semi")
    plain = asked.filter(pl.col("sequence").is_null()).join(
        found.filter(pl.col("sequence").is_null()), on=_PLAIN, how="semi"
    )
    exists = np.zeros(n, np.bool_)
    exists[counted["row"].to_numpy()] = True
    exists[plain["row"].to_numpy()] = True
    return exists


def _parts(asked: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Rows in the table's own order, cut so that no query asks for too many rows or vehicles."""
    ordered = asked.sort("vehicle_id", "time")
    vehicle: I32 = ordered["vehicle_id"].rle_id().to_numpy().astype(np.int32)
    start = 0
    while start < len(ordered):
        end = min(start + _ROWS_A_QUERY, int(np.searchsorted(vehicle, vehicle[start] + _VEHICLES_A_QUERY)))
        yield ordered[start:end]
        start = end


def _stored(warehouse: Warehouse, fleet: str, part: pl.DataFrame) -> pl.DataFrame:
    times: I64 = np.unique(part["time"].to_numpy())
    rows = warehouse.arrow(
        _STORED,
        {
            "fleet": fleet,
            "vehicles": part["vehicle_id"].unique().to_list(),
            "first": int(times[0]),
            "last": int(times[-1]),
            "times": times.tolist(),
        },
        output_format_arrow_string_as_string=0,
    )
    columns = {name: pl.from_arrow(rows[name]) for name in rows.column_names if name not in {"vehicle_id", "data"}}
    return pl.DataFrame(
        {
            **columns,
            "vehicle_id": pl.from_arrow(rows["vehicle_id"].cast(pa.utf8())),
            "data": pl.from_arrow(rows["data"].cast(pa.binary())),
        }
    )
