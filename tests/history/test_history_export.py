"""Files of frames, written and read back with python-can, asammdf and pyarrow, and equal."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import can
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asammdf import MDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.export import COLUMNS, count_frames, fitting_end, read_frames
from pipeline.clickhouse.writer import FRAMES, Writer
from pipeline.frames.logs import read_log
from pipeline.frames.schema import TIMESTAMP
from pipeline.history.log_files import Format, write_file

NOON = 1_769_860_800_000_000
LOGS: list[Format] = [form for form in get_args(Format) if form != "parquet"]
Row = tuple[int, int, bytes, bool, int]

LENGTHS = [*range(9), 12, 16, 20, 24, 32, 48, 64]
"""Those that CAN and CAN FD have."""
ROWS = st.lists(
    st.tuples(
        st.integers(0, 3_600_000_000).map(lambda us: NOON + us),
        st.one_of(st.integers(0, 0x7FF), st.integers(0, 0x1FFFFFFF)),
        st.sampled_from(LENGTHS).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
        st.booleans(),
        st.integers(0, 255),
    ).map(lambda row: (*row[:3], row[3] or row[1] > 0x7FF, row[4])),
    min_size=1,
    max_size=60,
).map(sorted)


def batch_of(rows: list[Row]) -> pa.RecordBatch:
    timestamp, ids, data, extended, channel = zip(*rows, strict=True)
    n = len(rows)
    return pa.RecordBatch.from_arrays(
        [
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array(["v1"])),
            pa.array(timestamp, pa.int64()).cast(TIMESTAMP),
            pa.array(ids, pa.uint32()),
            pa.array(data, pa.binary()),
            pa.array(extended),
            pa.array(channel, pa.uint8()),
            pa.nulls(n, pa.uint32()),
            pa.nulls(n, pa.uint64()),
            pa.array([NOON] * n, pa.int64()).cast(TIMESTAMP),
        ],
        schema=COLUMNS,
    )


def by_python_can(path: Path) -> list[Row]:
    # ASC counts from the date in its head, which its reader leaves out unless it is told otherwise.
    kwargs: dict[str, Any] = {"relative_timestamp": False} if path.suffix == ".asc" else {}
    with can.LogReader(path, **kwargs) as reader:
        return [
            (round(m.timestamp * 1e6), m.arbitration_id, bytes(m.data), m.is_extended_id, int(m.channel or 0))
            for m in reader
        ]


@pytest.mark.parametrize("form", LOGS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, split=st.integers(0, 60))
def test_a_log_reads_back_equal(tmp_path: Path, form: Format, rows: list[Row], split: int) -> None:
    path = tmp_path / f"log.{form}"
    batches = [batch_of(part) for part in (rows[:split], rows[split:]) if part]
    assert write_file(path, form, iter(batches), COLUMNS) == len(rows)
    assert by_python_can(path) == rows
    # And as canfleet reads logs, so that an export can be sent again.
    if form == "asc":
        return
    frames = pa.Table.from_batches([batch.frames for batch in read_log(path, "v1")])
    again = frames.select(["timestamp", "arbitration_id", "data", "is_extended", "channel"]).to_pylist()
    assert [(round(r["timestamp"].timestamp() * 1e6), *list(r.values())[1:]) for r in again] == rows


def test_an_mf4_is_one_for_asammdf(tmp_path: Path) -> None:
    rows: list[Row] = [(NOON + i * 1_001, 0x100 + i, bytes(range(i % 9)), False, i % 2) for i in range(500)]
    path = tmp_path / "log.mf4"
    write_file(path, "mf4", iter([batch_of(rows)]), COLUMNS)
    with MDF(path) as mdf:
        assert mdf.header.start_time == datetime.fromtimestamp(NOON // 1_000_000, UTC)
        found = mdf.get("CAN_DataFrame")
        np.testing.assert_array_equal(np.rint(found.timestamps * 1e6) + NOON, [row[0] for row in rows])
        np.testing.assert_array_equal(found["CAN_DataFrame.ID"], [row[1] for row in rows])
        lengths = found["CAN_DataFrame.DataLength"]
        payloads = [data[:n].tobytes() for data, n in zip(found["CAN_DataFrame.DataBytes"], lengths, strict=True)]
        assert payloads == [row[2] for row in rows]


@pytest.mark.parametrize("form", get_args(Format))
def test_no_frames_make_an_empty_file(tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"log.{form}"
    assert write_file(path, form, iter([]), COLUMNS) == 0
    if form == "parquet":
        assert pq.read_table(path).num_rows == 0
    else:
        assert by_python_can(path) == []


@pytest.fixture
def frames(warehouse: Warehouse) -> tuple[Warehouse, pa.Table]:
    """5,000 frames, shuffled, many in one microsecond, some counted; and another vehicle's."""
    rng = np.random.default_rng(0)
    n = 5_000
    time = NOON + rng.integers(0, 300, n) * 1_000

    def name(texts: list[str], codes: np.ndarray) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(texts))

    counted = rng.random(n) < 0.5
    columns = {
        "fleet": name(["acme"], np.zeros(n)),
        "vehicle_id": name(["v1", "v2"], rng.random(n) < 0.1),
        "timestamp": pa.array(time).cast(TIMESTAMP),
        "session": pa.array(np.ones(n, np.uint32), mask=~counted),
        "sequence": pa.array(np.arange(n, dtype=np.uint64), mask=~counted),
        "channel": pa.array(rng.integers(0, 3, n).astype(np.uint8)),
        "arbitration_id": pa.array(rng.integers(0, 0x7FF, n).astype(np.uint32)),
        "is_extended": pa.array(rng.random(n) < 0.5),
        "data": pa.array([rng.bytes(int(k)) for k in rng.integers(0, 65, n)], pa.binary()),
        "received_at": pa.array(np.full(n, NOON + 1)).cast(TIMESTAMP),
    }
    batch = pa.RecordBatch.from_arrays(
        [columns[field].cast(FRAMES.field(field).type) for field in FRAMES.names], schema=FRAMES
    )
    Writer(warehouse).insert_frames(batch, "all")
    mine = pa.Table.from_batches([batch]).to_pandas().query("vehicle_id == 'v1'")
    return warehouse, pa.Table.from_pandas(mine, preserve_index=False)


@pytest.mark.parametrize("page", [7, 1_000, 100_000])
def test_every_stored_frame_is_read_once_in_order(
    frames: tuple[Warehouse, pa.Table], tmp_path: Path, page: int
) -> None:
    warehouse, stored = frames
    end = NOON + 250_000
    batches = list(read_frames(warehouse, "acme", "v1", NOON, end, page))
    assert (len(batches) > 1) == (page < 5_000)
    path = tmp_path / "frames.parquet"
    write_file(path, "parquet", iter(batches), COLUMNS)
    found = pq.read_table(path).to_pylist()
    assert [row["timestamp"] for row in found] == sorted(row["timestamp"] for row in found)
    key = ["timestamp", "session", "sequence", "channel", "arbitration_id", "data", "is_extended", "received_at"]
    expected = [row for row in stored.to_pylist() if row["timestamp"] < datetime.fromtimestamp(end / 1e6, UTC)]

    def rows(of: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        plain = [tuple(None if row[name] != row[name] else row[name] for name in key) for row in of]
        return sorted(plain, key=repr)

    assert len(found) == len(expected) == count_frames(warehouse, "acme", "v1", NOON, end)
    assert rows(found) == rows(expected)
    assert {row["vehicle_id"] for row in found} == {"v1"}
    assert list(read_frames(warehouse, "other", "v1", NOON, end)) == []


def test_how_far_a_range_may_go(frames: tuple[Warehouse, pa.Table]) -> None:
    warehouse, _ = frames
    end = NOON + 10_000_000
    fits = fitting_end(warehouse, "acme", "v1", NOON, end, 1_000)
    assert 900 < count_frames(warehouse, "acme", "v1", NOON, fits) <= 1_000
    assert count_frames(warehouse, "acme", "v1", NOON, fits + 1_000) > 1_000
