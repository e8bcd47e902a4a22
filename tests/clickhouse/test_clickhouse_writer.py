"""Inserts: every column arrives, tokens hold, rollups equal a brute-force computation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from clickhouse_process import HostProcess
from clickhouse_rows import START, canonical_frames, frame_rows, names, signal_rows, store, times
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.order import in_table_order
from pipeline.clickhouse.queries import Queries
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import ANOMALIES, DEAD_LETTERS, SIGNALS, Writer
from pipeline.errors import WarehouseAway, WarehouseError

KEY = ["fleet", "vehicle_id", "signal", "message"]


def frame(rows: pa.RecordBatch | pa.Table) -> pl.DataFrame:
    decoded = pl.from_arrow(rows)
    assert isinstance(decoded, pl.DataFrame)
    return decoded.with_columns(pl.col(pl.Categorical).cast(pl.String))


def brute_force(batches: list[pa.RecordBatch], bucket: str) -> pl.DataFrame:
    rows = pl.concat([frame(batch) for batch in batches]).filter(pl.col("value").is_finite())
    newest = pl.col("value").sort_by("timestamp").last()
    return (
        rows.with_columns(pl.col("timestamp").dt.truncate(bucket).alias("bucket"))
        .group_by(*KEY, "bucket")
        .agg(
            pl.len().cast(pl.UInt64).alias("count"),
            pl.col("value").min().alias("min"),
            pl.col("value").max().alias("max"),
            pl.col("value").mean().alias("mean"),
            newest.alias("last"),
        )
        .sort(*KEY, "bucket")
    )


def rollup(warehouse: Warehouse, table: str) -> pl.DataFrame:
    # In Arrow, a ClickHouse DateTime is a number of seconds.
    stored = frame(warehouse.arrow(f"SELECT * FROM {table}"))
    bucket = pl.from_epoch("timestamp", "s").dt.cast_time_unit("us").dt.replace_time_zone("UTC").alias("bucket")
    return stored.with_columns(bucket).sort(*KEY, "bucket")


def assert_rollups(warehouse: Warehouse, batches: list[pa.RecordBatch]) -> None:
    for table, bucket in (("signals_1m", "1m"), ("signals_1h", "1h")):
        want, got = brute_force(batches, bucket), rollup(warehouse, table)
        for column in (*KEY, "bucket", "count", "min", "max", "last"):
            assert got[column].to_list() == want[column].to_list(), (table, column)
        np.testing.assert_allclose(got["mean"].to_numpy(), want["mean"].to_numpy(), rtol=1e-12)


def test_rollups_equal_brute_force(warehouse: Warehouse) -> None:
    batches = [signal_rows(3_000, seed) for seed in range(4)]
    writer = Writer(warehouse)
    for i, batch in enumerate(batches):
        store(writer, batch, f"token {i}")
    assert_rollups(warehouse, batches)
    for table in ("signals_1m_states", "signals_1h_states"):
        warehouse.command(f"OPTIMIZE TABLE {table} FINAL")
    assert_rollups(warehouse, batches)
    stored = frame(warehouse.arrow("SELECT * FROM signals"))
    sent = pl.concat([frame(batch) for batch in batches])
    order = [*KEY, "timestamp", "value"]
    assert stored.select(order).sort(order).equals(sent.select(order).sort(order), null_equal=True)


def test_only_nan_makes_no_rollup(warehouse: Warehouse) -> None:
    batch = signal_rows(50, 1, bad=1.0)
    store(Writer(warehouse), batch, "nan")
    counts = Queries(warehouse).table_counts()
    assert (counts["signals"], counts["signals_1m"], counts["signals_1h"]) == (50, 0, 0)


def test_a_token_counts_once(warehouse: Warehouse) -> None:
    writer = Writer(warehouse)
    batches = [signal_rows(500, seed) for seed in range(3)]
    for _ in range(3):
        for i, batch in enumerate(batches):
            store(writer, batch, f"same {i}")
    assert Queries(warehouse).table_counts()["signals"] == 1_500
    assert_rollups(warehouse, batches)


def test_a_backfill_over_many_weeks_and_its_repetition(warehouse: Warehouse) -> None:
    batch = signal_rows(2_000, 5, span_s=60 * 7 * 86_400)
    for _ in range(2):
        store(Writer(warehouse), batch, "years")
    assert Queries(warehouse).table_counts()["signals"] == 2_000
    assert_rollups(warehouse, [batch])


def test_the_same_token_from_many_threads(warehouse: Warehouse) -> None:
    writer, batch = Writer(warehouse), signal_rows(5_000, 9)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store(writer, batch, "race"), range(8)))
    store(writer, batch, "race")
    assert Queries(warehouse).table_counts()["signals"] == 5_000
    assert_rollups(warehouse, [batch])


def test_frames_arrive_whole(warehouse: Warehouse) -> None:
    writer = Writer(warehouse)
    counted, plain = (frame_rows(canonical_frames(400, 3, counted=c)) for c in (True, False))
    writer.insert_frames(counted, "a")
    writer.insert_frames(plain, "b")
    writer.insert_frames(plain, "b")
    stored = warehouse.arrow("SELECT * FROM frames", output_format_arrow_string_as_string=0)
    text = {name: pa.utf8() for name in ("fleet", "vehicle_id")}
    for want, where in ((counted, "is_not_null"), (plain, "is_null")):
        half = frame(stored).filter(getattr(pl.col("sequence"), where)())
        half = half.with_columns(pl.col(name).cast(pl.String) for name in text)
        order = ["timestamp", "data"]
        assert half.sort(order).equals(frame(want).select(half.columns).sort(order), null_equal=True)
    assert Queries(warehouse).frame_counts("acme") == dict(
        frame(pa.Table.from_batches([counted, plain])).group_by("vehicle_id").len().iter_rows()
    )
    assert Queries(warehouse).frame_counts("other") == {}


def anomaly(state: int, *, closed: bool, name: str = "a1", vehicle: str = "v1", offset: int = 0) -> dict[str, object]:
    return {
        "fleet": "acme",
        "vehicle_id": vehicle,
        "timestamp": START + offset,
        "detected_at": START + offset + 5,
        "kind": "out_of_range",
        "message": "Motion",
        "signal": "Speed",
        "arbitration_id": None,
        "value": 300.0 + state,
        "score": 1.5,
        "detail": "Speed is 300, outside 0 to 250",
        "ended_at": START + offset + state * 1_000,
        "count": state,
        "closed": closed,
        "id": name,
    }


def anomalies(*states: dict[str, object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(states), ANOMALIES)


def test_an_anomaly_is_shown_once_in_its_newest_state(warehouse: Warehouse) -> None:
    writer, queries = Writer(warehouse), Queries(warehouse)
    writer.insert_anomalies(anomalies(anomaly(7, closed=True)), "closed")
    writer.insert_anomalies(
        anomalies(anomaly(1, closed=False), anomaly(2, closed=False, name="a2", offset=9)), "opened"
    )
    writer.insert_anomalies(
        anomalies(anomaly(7, closed=False), anomaly(1, closed=False, name="a3", vehicle="v2")), "more"
    )
    window = {"start": START, "end": START + 60_000_000}
    found = queries.anomalies("acme", **window)
    assert [(a["id"], a["count"], a["closed"]) for a in found] == [("a2", 2, False), ("a1", 7, True), ("a3", 1, False)]
    assert found[1] | {"duration_ms": 7.0} == anomaly(7, closed=True) | {"duration_ms": 7.0}
    assert [a["id"] for a in queries.anomalies("acme", vehicle_id="v2", **window)] == ["a3"]
    assert queries.anomalies("acme", kind="stuck", **window) == []
    assert queries.anomalies("other", **window) == []
    assert [a["id"] for a in queries.anomalies("acme", limit=1, **window)] == ["a2"]
    assert len(queries.anomalies("acme", start=START + 1, end=START + 60_000_000)) == 1
    seen = warehouse.rows("SELECT count, duration_ms FROM anomalies WHERE id = 'a1'")
    assert seen == [{"count": 7, "duration_ms": 7.0}]


def test_dead_letters(warehouse: Warehouse) -> None:
    letters = [
        {"fleet": "acme", "received_at": START, "stage": "parse", "reason": "empty", "payload": "{ü", "request_id": "r"}
    ] * 3
    for _ in range(2):
        Writer(warehouse).insert_dead_letters(pa.RecordBatch.from_pylist(letters, DEAD_LETTERS), "d")
    assert (
        warehouse.rows("SELECT payload, reason, request_id FROM dead_letters")
        == [{"payload": "{ü", "reason": "empty", "request_id": "r"}] * 3
    )


def test_wrong_rows_are_refused(warehouse: Warehouse) -> None:
    writer, batch = Writer(warehouse), signal_rows(3, 1)
    with pytest.raises(WarehouseError, match="without a token"):
        store(writer, batch, "")
    with pytest.raises(WarehouseError, match="they must have"):
        store(writer, batch.drop_columns(["value"]), "t")
    store(writer, batch.slice(0, 0), "t")
    store(writer, pa.Table.from_batches([batch, signal_rows(4, 2)]), "table")
    store(writer, pa.Table.from_batches([], SIGNALS), "empty")
    assert Queries(warehouse).table_counts()["signals"] == 7


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 3), st.floats(allow_nan=False)), max_size=60
    )
)
def test_table_order_is_a_stable_sort(rows: list[tuple[int, int, int, float]]) -> None:
    fleets, vehicles, signals = ["b", "a", "ä"], ["z", "Z", "é", "", "aa"], ["s2", "s10", "S", "s"]
    fleet, vehicle, signal = (np.array([row[i] for row in rows], np.int32) for i in range(3))
    batch = pa.RecordBatch.from_arrays(
        [
            names(fleet, fleets),
            names(vehicle, vehicles),
            times(np.arange(len(rows))),
            names(np.zeros(len(rows)), ["M"]),
            names(signal, signals),
            pa.array([row[3] for row in rows], pa.float64()),
        ],
        schema=SIGNALS,
    )
    want = sorted(batch.to_pylist(), key=lambda r: tuple(r[k].encode() for k in ("fleet", "vehicle_id", "signal")))
    assert in_table_order(batch, ("fleet", "vehicle_id", "signal")).to_pylist() == want


def test_killed_and_sent_again(tmp_path: Path) -> None:
    """SIGKILL between and during inserts; every unconfirmed batch is sent again after the restart, and all before."""
    batches = [signal_rows(4_000, seed) for seed in range(12)]
    confirmed = 0
    for life in range(3):
        host = HostProcess(tmp_path)
        warehouse = Warehouse.connect(WarehouseSettings(url=host.url))
        migrate(warehouse)
        writer = Writer(warehouse)
        for i in range(confirmed):
            store(writer, batches[i], f"b{i}")
        while confirmed < 4 * (life + 1):
            if confirmed == 4 * life + 2 and life < 2:
                with ThreadPoolExecutor(1) as pool:
                    doomed = pool.submit(store, writer, batches[confirmed], f"b{confirmed}")
                    host.kill()
                    if isinstance(doomed.exception(), WarehouseAway):
                        break
            store(writer, batches[confirmed], f"b{confirmed}")
            confirmed += 1
        warehouse.close()
        if life < 2:
            continue
    try:
        warehouse = Warehouse.connect(WarehouseSettings(url=host.url))
        writer = Writer(warehouse)
        for i, batch in enumerate(batches):
            store(writer, batch, f"b{i}")
        assert Queries(warehouse).table_counts()["signals"] == 4_000 * len(batches)
        assert_rollups(warehouse, batches)
        warehouse.close()
    finally:
        assert host.terminate() == (0, "")
