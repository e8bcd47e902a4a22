"""A vehicle's stored frames of a range, in order of time, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.clickhouse.client import Warehouse
from pipeline.frames.schema import TIMESTAMP

PAGE: Final = 200_000
"""Frames that are in memory at a time, unless more share one microsecond."""
COLUMNS: Final = pa.schema(
    [
        pa.field("vehicle_id", pa.dictionary(pa.int32(), pa.utf8())),
        pa.field("timestamp", TIMESTAMP),
        pa.field("arbitration_id", pa.uint32()),
        pa.field("data", pa.binary()),
        pa.field("is_extended", pa.bool_()),
        pa.field("channel", pa.uint8()),
        pa.field("session", pa.uint32()),
        pa.field("sequence", pa.uint64()),
        pa.field("received_at", TIMESTAMP),
    ]
)
"""Of a page: the columns that clients send frames with, and when each was received."""

_OF_VEHICLE: Final = """
    FROM frames AS f
    WHERE fleet = {fleet:String}
        AND vehicle_id = {vehicle:String}
        AND f.timestamp >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
        AND f.timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""
_PAGE: Final = f"""
    SELECT
        toUnixTimestamp64Micro(f.timestamp) AS timestamp, arbitration_id, data, is_extended, channel, session, sequence,
        toUnixTimestamp64Micro(f.received_at) AS received_at
    {_OF_VEHICLE}
    ORDER BY f.timestamp, session, sequence, channel, arbitration_id, data
    LIMIT {{limit:UInt64}}
"""
_COUNT: Final = f"SELECT count() AS frames {_OF_VEHICLE}"
_NTH: Final = f"""
    SELECT toUnixTimestamp64Micro(f.timestamp) AS timestamp {_OF_VEHICLE}
    ORDER BY f.timestamp LIMIT 1 OFFSET {{offset:UInt64}}
"""


def count_frames(warehouse: Warehouse, fleet: str, vehicle_id: str, start: int, end: int) -> int:
    """How many frames are stored in [start, end), microseconds."""
    bound = _bound(fleet, vehicle_id, start, end)
    return int(warehouse.rows(_COUNT, bound)[0]["frames"])


def fitting_end(warehouse: Warehouse, fleet: str, vehicle_id: str, start: int, end: int, most: int) -> int:
    """The end of the longest range from `start` with at most `most` frames; [start, end) must hold more."""
    [row] = warehouse.rows(_NTH, _bound(fleet, vehicle_id, start, end) | {"offset": most})
    return int(row["timestamp"])


def read_frames(
    warehouse: Warehouse, fleet: str, vehicle_id: str, start: int, end: int, page: int = PAGE
) -> Iterator[pa.RecordBatch]:
    """The frames in [start, end) in order of time, in batches of `COLUMNS`; none of them is empty.

    A page ends between two timestamps, so that what arrives meanwhile is neither skipped nor doubled.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    while start < end:
        bound = _bound(fleet, vehicle_id, start, end) | {"limit": page}
        table = warehouse.arrow(_PAGE, bound, output_format_arrow_string_as_string=0)
        if not table.num_rows:
            return
        newest = int(table["timestamp"][-1].as_py())
        if table.num_rows >= page:
            first = int(np.searchsorted(table["timestamp"].to_numpy(), newest))
            # All of one microsecond: then the page must hold them all.
            if first == 0:
                page *= 2
                continue
            table, start = table.slice(0, first), newest
        else:
            start = end
        yield _batch(table, vehicle_id)


def _batch(table: pa.Table, vehicle_id: str) -> pa.RecordBatch:
    n = table.num_rows
    vehicle = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([vehicle_id]))
    columns = {name: table[name].combine_chunks() for name in table.column_names} | {"vehicle_id": vehicle}
    return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in COLUMNS], schema=COLUMNS)


def _bound(fleet: str, vehicle_id: str, start: int, end: int) -> dict[str, Any]:
    return {"fleet": fleet, "vehicle": vehicle_id, "start": start, "end": end}
