"""Signal history: which resolution answers, and that buckets equal the values they are made of."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_rows import START, names, store, times
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.queries import Queries
from pipeline.clickhouse.resolution import DAY, HOUR, MAX_POINTS, MINUTE, resolution
from pipeline.clickhouse.writer import SIGNALS, Writer

SECOND = 1_000_000


@given(st.integers(1, 4 * 366 * DAY), st.none() | st.integers(1, 400 * DAY))
def test_never_too_many_points(span: int, step: int | None) -> None:
    chosen = resolution(START, START + span, step)
    assert span <= chosen.step * MAX_POINTS
    unit = {"signals": 1, "signals_1m": MINUTE, "signals_1h": HOUR}[chosen.source]
    assert chosen.step % unit == 0
    if step is not None:
        assert chosen.step >= step


@pytest.mark.parametrize(
    ("span", "step", "source", "chosen"),
    [
        (HOUR, None, "signals", 2 * SECOND),
        (24 * HOUR, None, "signals_1m", MINUTE),
        (30 * DAY, None, "signals_1m", 30 * MINUTE),
        (365 * DAY, None, "signals_1h", 6 * HOUR),
        (HOUR, 10 * SECOND, "signals", 10 * SECOND),
        (HOUR, 90 * SECOND, "signals_1m", 2 * MINUTE),
        (10 * DAY, SECOND, "signals_1m", 8 * MINUTE),
    ],
)
def test_resolution(span: int, step: int | None, source: str, chosen: int) -> None:
    found = resolution(START, START + span, step)
    assert (found.source, found.step) == (source, chosen)


@pytest.fixture
def history(warehouse: Warehouse) -> tuple[Queries, np.ndarray, np.ndarray]:
    """Three hours of Speed at 1 Hz, shuffled, one NaN in fifty, and a rare signal of the same name elsewhere."""
    rng = np.random.default_rng(0)
    time = START + np.arange(3 * 3600) * SECOND
    value = rng.normal(50, 10, len(time)).round(2)
    value[::50] = np.nan
    order = rng.permutation(len(time))
    rare = np.zeros(10)
    batch = pa.RecordBatch.from_arrays(
        [
            names(np.zeros(len(time) + 10), ["acme"]),
            names(np.r_[np.zeros(len(time)), rare], ["v1", "v2"]),
            times(np.r_[time[order], START + np.arange(10) * 60 * SECOND]),
            names(np.r_[np.zeros(len(time)), rare + 1], ["Motion", "Other"]),
            names(np.r_[np.zeros(len(time)), rare + 1], ["Speed", "Rare"]),
            pa.array(np.r_[value[order], rare]),
        ],
        schema=SIGNALS,
    )
    store(Writer(warehouse), batch, "all")
    return Queries(warehouse), time, value


def test_few_points_are_raw(history: tuple[Queries, np.ndarray, np.ndarray]) -> None:
    queries, time, value = history
    found = queries.signal_history("acme", "v1", ["Speed"], start=int(time[10]), end=int(time[1010]))
    assert (found.resolution, found.step, len(found.points)) == ("raw", None, 1_000)
    assert [point["timestamp"] for point in found.points] == time[10:1010].tolist()
    np.testing.assert_array_equal([point["value"] for point in found.points], value[10:1010])
    rare = queries.signal_history("acme", "v1", ["Rare"], start=int(time[0]), end=int(time[-1]) + 1)
    assert (rare.resolution, len(rare.points)) == ("raw", 10)


@pytest.mark.parametrize("step", [None, 10 * SECOND, 5 * MINUTE, HOUR])
def test_buckets_equal_their_values(history: tuple[Queries, np.ndarray, np.ndarray], step: int | None) -> None:
    queries, time, value = history
    found = queries.signal_history("acme", "v1", ["Speed"], start=int(time[0]), end=int(time[-1]) + 1, step=step)
    assert found.step == (step or 10 * SECOND)
    finite = np.isfinite(value)
    bucket = time[finite] // found.step * found.step
    assert len(found.points) == len(np.unique(bucket))
    for point in found.points:
        inside = value[finite][bucket == point["timestamp"]]
        assert (point["signal"], point["count"]) == ("Speed", len(inside))
        assert (point["min"], point["max"], point["last"]) == (inside.min(), inside.max(), inside[-1])
        assert point["mean"] == pytest.approx(inside.mean(), rel=1e-12)


def test_names_and_owners(history: tuple[Queries, np.ndarray, np.ndarray]) -> None:
    queries, time, _ = history
    whole = {"start": int(time[0]), "end": int(time[-1]) + 1}
    both = queries.signal_history("acme", "v1", ["Speed", "Rare"], step=HOUR, **whole)
    assert {point["signal"] for point in both.points} == {"Speed", "Rare"}
    assert both.resolution == "1h"
    assert queries.signal_history("acme", "v1", ["Speed"], message="Other", **whole).points == []
    assert queries.signal_history("acme", "v2", ["Speed"], **whole).points == []
    assert queries.signal_history("other", "v1", ["Speed"], **whole).points == []
    assert queries.signal_history("acme", "v1", ["' OR 1 = 1 --"], **whole).points == []
