"""Cutting, joining and storing canonical batches."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from frames_samples import LIMITS, NOW_US, expected_frame, row, shown, stream, table
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BodyError
from pipeline.frames.body import ARROW, read_body
from pipeline.frames.schema import CANONICAL
from pipeline.frames.split import concat, empty, from_ipc, select, to_ipc

ROWS = st.lists(
    st.builds(
        row,
        vehicle_id=st.sampled_from(["a", "b", "c", "ü"]),
        data=st.binary(max_size=9),
        sequence=st.integers(0, 2**64 - 1),
        is_extended=st.booleans(),
    )
    | st.builds(row, vehicle_id=st.sampled_from("cd"), session=st.none(), sequence=st.none()),
    max_size=10,
)


def batch_of(rows: list[dict]) -> pa.RecordBatch:
    return read_body(stream(table(rows)), ARROW, None, LIMITS, NOW_US).frames if rows else empty()


def assert_is(batch: pa.RecordBatch, rows: list[dict]) -> None:
    batch.validate(full=True)
    assert batch.schema == CANONICAL
    assert shown(batch) == [expected_frame(r) for r in rows]
    ids = batch.column("vehicle_id").dictionary.to_pylist()
    assert sorted(ids) == sorted({r["vehicle_id"] for r in rows})


@settings(max_examples=100, deadline=None)
@given(ROWS, st.data())
def test_select(rows: list[dict], data: st.DataObject) -> None:
    batch = batch_of(rows)
    picks = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12)) if rows else []
    assert_is(select(batch, np.array(picks, np.int64)), [rows[i] for i in picks])
    mask = np.array([data.draw(st.booleans()) for _ in rows], np.bool_)
    assert_is(select(batch, mask), [r for r, keep in zip(rows, mask, strict=True) if keep])


@settings(max_examples=100, deadline=None)
@given(st.lists(ROWS, max_size=5))
def test_concat(parts: list[list[dict]]) -> None:
    assert_is(concat([batch_of(part) for part in parts]), [r for part in parts for r in part])


@settings(max_examples=100, deadline=None)
@given(ROWS, st.data())
def test_round_trip_of_a_slice(rows: list[dict], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows)))
    stored = to_ipc(batch_of(rows).slice(start))
    assert_is(from_ipc(stored), rows[start:])
    assert_is(from_ipc(stored.to_pybytes()), rows[start:])
    assert_is(from_ipc(memoryview(b"xyz" + stored.to_pybytes())[3:]), rows[start:])


def test_reading_copies_nothing() -> None:
    stored = to_ipc(batch_of([row()] * 100))
    values = from_ipc(stored).column("timestamp").buffers()[1]
    assert stored.address <= values.address < stored.address + stored.size


def test_a_slice_carries_its_own_ids_only() -> None:
    rows = [row(vehicle_id=f"vehicle-{i:06d}") for i in range(1000)]
    assert to_ipc(batch_of(rows).slice(10, 1)).size < 2000


@pytest.mark.parametrize("stored", [b"", b"nonsense", b"\xff\xff\xff\xff\x00\x00\x00\x00"])
def test_what_is_no_stored_batch(stored: bytes) -> None:
    with pytest.raises(BodyError):
        from_ipc(stored)
