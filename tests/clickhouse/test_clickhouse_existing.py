"""Which frames are stored already, by the contract's identity."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_rows import canonical_frames, frame_rows

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.existing import existing_frames
from pipeline.clickhouse.writer import Writer


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "plain"])
def test_finds_exactly_the_stored(warehouse: Warehouse, counted: bool) -> None:
    frames = canonical_frames(12_000, 1, counted=counted, vehicles=2_000)
    stored = np.random.default_rng(2).random(12_000) < 0.5
    Writer(warehouse).insert_frames(frame_rows(frames.filter(pa.array(stored))), "half")
    assert (existing_frames(warehouse, "acme", frames) == stored).all()
    assert not existing_frames(warehouse, "other", frames).any()
    assert (existing_frames(warehouse, "acme", pa.Table.from_batches([frames.slice(5, 100)])) == stored[5:105]).all()
    assert existing_frames(warehouse, "acme", frames.slice(0, 0)).shape == (0,)


def changed(frames: pa.RecordBatch, column: str, values: pa.Array) -> pa.RecordBatch:
    return frames.set_column(frames.schema.get_field_index(column), frames.schema.field(column), values)


def test_what_belongs_to_an_identity(warehouse: Warehouse) -> None:
    n = 200
    plain, counted = canonical_frames(n, 3, counted=False), canonical_frames(n, 3, counted=True)
    writer = Writer(warehouse)
    writer.insert_frames(frame_rows(plain), "plain")
    other_channel = changed(plain, "channel", pa.array((plain["channel"].to_numpy() + 1).astype(np.uint8)))
    assert not existing_frames(warehouse, "acme", other_channel).any()
    assert not existing_frames(warehouse, "acme", changed(plain, "data", pa.array([b"other" * 13] * n))).any()
    flipped = changed(plain, "is_extended", pa.array(~plain["is_extended"].to_numpy(zero_copy_only=False)))
    assert existing_frames(warehouse, "acme", flipped).all()
    # A counted frame is another one than a plain frame of the same content.
    assert not existing_frames(warehouse, "acme", counted).any()
    writer.insert_frames(frame_rows(counted), "counted")
    assert existing_frames(warehouse, "acme", changed(counted, "data", pa.array([b""] * n))).all()
    next_boot = changed(counted, "session", pa.array(np.full(n, 5), pa.uint32()))
    assert not existing_frames(warehouse, "acme", next_boot).any()
