"""Rows for the tests, small and reproducible."""

from __future__ import annotations

import struct

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.clickhouse.writer import FRAMES, MINUTES, SIGNALS, Writer
from pipeline.frames.schema import CANONICAL, TIMESTAMP

START = 1_700_000_000_000_000
"""Microseconds; 14 November 2023, 22:13:20 UTC."""


def names(codes: np.ndarray, words: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(words))


def times(microseconds: np.ndarray) -> pa.Array:
    return pa.array(microseconds, pa.int64()).cast(TIMESTAMP)


def signal_rows(n: int, seed: int, *, fleet: str = "acme", span_s: int = 7_200, bad: float = 0.01) -> pa.RecordBatch:
    """n rows of 3 vehicles and 4 signals over `span_s` seconds, some NaN or infinite, out of order."""
    rng = np.random.default_rng(seed)
    values = rng.normal(10, 5, n).round(3)
    values[rng.random(n) < bad] = np.nan
    values[rng.random(n) < bad] = np.inf
    signal = rng.integers(0, 4, n)
    return pa.RecordBatch.from_arrays(
        [
            names(np.zeros(n), [fleet]),
            names(rng.integers(0, 3, n), ["v-b", "v-a", "v-ü"]),
            times(START + rng.integers(0, span_s * 1_000_000, n)),
            names(signal // 2, ["Motion", "Engine"]),
            names(signal, ["Speed", "Heading", "Rpm", "CoolantTemp"]),
            pa.array(values),
        ],
        schema=SIGNALS,
    )


def canonical_frames(n: int, seed: int, *, counted: bool, vehicles: int = 7) -> pa.RecordBatch:
    """n distinct frames in the canonical schema."""
    rng = np.random.default_rng(seed)
    data = [rng.bytes(int(length)) for length in rng.integers(0, 65, n)]
    vehicle = rng.integers(0, vehicles, n)
    return pa.RecordBatch.from_arrays(
        [
            names(vehicle, [f"v{i}" for i in range(vehicles)]),
            times(START + rng.permutation(n * 3)[:n]),
            pa.array(rng.integers(0, 0x1FFFFFFF, n), pa.uint32()),
            pa.array(data, pa.binary()),
            pa.array(rng.random(n) < 0.5),
            pa.array(rng.integers(0, 3, n), pa.uint8()),
            pa.array(np.full(n, 4), pa.uint32()) if counted else pa.nulls(n, pa.uint32()),
            pa.array(np.arange(n), pa.uint64()) if counted else pa.nulls(n, pa.uint64()),
        ],
        schema=CANONICAL,
    )


def frame_rows(frames: pa.RecordBatch, fleet: str = "acme") -> pa.RecordBatch:
    """Canonical frames as rows of the table."""
    n = frames.num_rows
    columns = {name: frames.column(name) for name in frames.schema.names}
    columns |= {"fleet": names(np.zeros(n), [fleet]), "received_at": times(np.full(n, START + 60_000_000))}
    return pa.RecordBatch.from_arrays([columns[name] for name in FRAMES.names], schema=FRAMES)


def minute_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """What `batch`, rows of `SIGNALS`, adds to the one-minute rollup: rows of `MINUTES`."""
    decoded = pl.from_arrow(batch)
    assert isinstance(decoded, pl.DataFrame)
    key = ["fleet", "vehicle_id", "signal", "message"]
    grouped = (
        decoded.with_columns(pl.col(pl.Categorical).cast(pl.String))
        .filter(pl.col("value").is_finite())
        .with_columns(pl.col("timestamp").dt.epoch("us").alias("us"))
        .group_by(*key, pl.col("us") // 60_000_000 * 60, maintain_order=True)
        .agg(
            pl.len().alias("count"),
            pl.col("value").min().alias("min"),
            pl.col("value").max().alias("max"),
            pl.col("value").sum().alias("sum"),
            pl.col("value").sort_by("timestamp").last().alias("last"),
            pl.col("timestamp").dt.epoch("us").max().alias("newest"),
        )
    )
    newest = zip(grouped["newest"], grouped["last"], strict=True)
    return pa.RecordBatch.from_arrays(
        [
            *(
                pa.array(grouped[name].to_list(), pa.utf8()).dictionary_encode().cast(MINUTES.field(name).type)
                for name in key
            ),
            pa.array(grouped["us"].to_list(), pa.uint32()),
            pa.array(grouped["count"].to_list(), pa.uint64()),
            *(pa.array(grouped[name].to_list(), pa.float64()) for name in ("min", "max", "sum")),
            pa.array([struct.pack("<dq", value, when) for when, value in newest], pa.binary(16)),
        ],
        schema=MINUTES,
    )


def store(writer: Writer, batch: pa.RecordBatch, token: str) -> None:
    """Values and what they add to the rollups, as a shard stores them."""
    writer.insert_signals(batch, token)
    writer.insert_minutes(minute_rows(batch), f"{token}/minutes")
