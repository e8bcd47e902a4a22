"""Dead letters of rows that were accepted and that ClickHouse refused for their content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clickhouse.writer import DEAD_LETTERS
from pipeline.frames.row_text import canonical_text
from pipeline.frames.schema import TIMESTAMP
from pipeline.shard.insert_rows import NameColumns, Processed, ValueColumns, canonical_rows, kept_rows, value_columns
from pipeline.shard.records import Intent
from pipeline.types import I64

STAGE: Final = "store"
REASON: Final = "refused_by_clickhouse"


def refused_letters(items: Sequence[Processed], intent: Intent, names: NameColumns) -> pa.Table | None:
    """Rows of `dead_letters` for what the intent says is refused; None where it is nothing.

    A frame's payload is the frame as JSON, ready to be sent again; a value's names its vehicle, time and signal.
    """
    parts = []
    if len(intent.refused_frames):
        vehicle = np.concatenate([item.group.frames.vehicle for item in items])[intent.refused_frames]
        received = np.concatenate([item.group.received_at for item in items])[intent.refused_frames]
        frames = canonical_rows(items, intent.refused_frames, names)
        texts = canonical_text(frames, np.arange(len(frames)))
        parts.append(_letters(names.fleet(vehicle), received, texts))
    if len(intent.refused_values):
        parts.append(_value_letters(items, intent, names))
    return pa.concat_tables(parts) if parts else None


def _value_letters(items: Sequence[Processed], intent: Intent, names: NameColumns) -> pa.Table:
    rows, values = intent.refused_values, value_columns(items, kept_rows(items, intent))
    refused = ValueColumns(values.vehicle[rows], values.signal[rows], values.timestamp[rows], values.value[rows])
    # A value has no receipt of its own; the newest of the insert is near enough to find it by.
    received = np.full(len(rows), max(int(item.group.received_at.max()) for item in items), np.int64)
    return _letters(names.fleet(refused.vehicle), received, _value_text(refused, names))


def _value_text(values: ValueColumns, names: NameColumns) -> pa.Array:
    """One JSON object per value; vehicle ids hold no control characters, and names are plain words."""
    vehicle, signal, timestamp, value = values
    return pc.binary_join_element_wise(
        '{"vehicle_id":"',
        names.vehicle_id(vehicle).cast(pa.utf8()),
        '","timestamp":',
        pa.array(timestamp).cast(pa.utf8()),
        ',"message":"',
        names.message(signal).cast(pa.utf8()),
        '","signal":"',
        names.signal(signal).cast(pa.utf8()),
        '","value":"',
        pa.array(value).cast(pa.utf8()),
        '"}',
        "",
    )


def _letters(fleet: pa.DictionaryArray, received_at: I64, texts: pa.Array) -> pa.Table:
    n = len(texts)
    return pa.table(
        {
            "fleet": fleet.cast(pa.utf8()),
            "received_at": pa.array(received_at, TIMESTAMP),
            "stage": pa.repeat(STAGE, n),
            "reason": pa.repeat(REASON, n),
            "payload": texts,
            "request_id": pa.repeat("", n),
        }
    ).cast(DEAD_LETTERS)
