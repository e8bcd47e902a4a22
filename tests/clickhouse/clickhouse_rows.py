"""Rows for the tests, small and reproducible."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.clickhouse.writer import FRAMES, SIGNALS
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
