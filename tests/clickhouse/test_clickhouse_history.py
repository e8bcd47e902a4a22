"""Signal history: which resolution answers, and that buckets equal the values they are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_rows import START, names, store, times
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.history import History, signal_history
from pipeline.clickhouse.resolution import DAY, HOUR, MAX_POINTS, MINUTE, resolution
from pipeline.clickhouse.writer import SIGNALS, Writer

SECOND = 1_000_000
Ask = Callable[..., History]


@given(st.integers(1, 4 * 366 * DAY), st.none() | st.integers(1, 400 * DAY), st.integers(1, MAX_POINTS))
def test_never_too_many_points(span: int, step: int | None, most: int) -> None:
    chosen = resolution(START, START + span, step, most)
    assert span <= chosen.step * most
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
def history(warehouse: Warehouse) -> tuple[Ask, np.ndarray, np.ndarray]:
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
    return partial(signal_history, warehouse), time, value


def test_few_points_are_raw(history: tuple[Ask, np.ndarray, np.ndarray]) -> None:
    ask, time, value = history
    found = ask("acme", "v1", ["Speed"], start=int(time[10]), end=int(time[1010]))
    assert (found.resolution, found.step, len(found.points)) == ("raw", None, 1_000)
    assert [point["timestamp"] for point in found.points] == time[10:1010].tolist()
    np.testing.assert_array_equal([point["value"] for point in found.points], value[10:1010])
    rare = ask("acme", "v1", ["Rare"], start=int(time[0]), end=int(time[-1]) + 1)
    assert (rare.resolution, len(rare.points)) == ("raw", 10)


@pytest.mark.parametrize("step", [None, 10 * SECOND, 5 * MINUTE, HOUR])
def test_buckets_equal_their_values(history: tuple[Ask, np.ndarray, np.ndarray], step: int | None) -> None:
    ask, time, value = history
    found = ask("acme", "v1", ["Speed"], start=int(time[0]), end=int(time[-1]) + 1, step=step)
    assert found.step == (step or 10 * SECOND)
    finite = np.isfinite(value)
    bucket = time[finite] // found.step * found.step
    assert len(found.points) == len(np.unique(bucket))
    for point in found.points:
        inside = value[finite][bucket == point["timestamp"]]
        assert (point["signal"], point["count"]) == ("Speed", len(inside))
        assert (point["min"], point["max"], point["last"]) == (inside.min(), inside.max(), inside[-1])
        assert point["mean"] == pytest.approx(inside.mean(), rel=1e-12)


def test_names_and_owners(history: tuple[Ask, np.ndarray, np.ndarray]) -> None:
    ask, time, _ = history
    whole = {"start": int(time[0]), "end": int(time[-1]) + 1}
    both = ask("acme", "v1", ["Speed", "Rare"], step=HOUR, **whole)
    assert {point["signal"] for point in both.points} == {"Speed", "Rare"}
    assert both.resolution == "1h"
    assert ask("acme", "v1", ["Speed"], message="Other", **whole).points == []
    assert ask("acme", "v2", ["Speed"], **whole).points == []
    assert ask("other", "v1", ["Speed"], **whole).points == []
    assert ask("acme", "v1", ["' OR 1 = 1 --"], **whole).points == []


@pytest.mark.parametrize("span", [HOUR, 3 * HOUR])
def test_several_signals_share_the_points_and_every_peak_survives(
    history: tuple[Ask, np.ndarray, np.ndarray], span: int
) -> None:
    ask, time, value = history
    names = ["Speed", "Rare", *(f"Absent{i}" for i in range(8))]
    end = int(time[0]) + span
    found = ask("acme", "v1", names, start=int(time[0]), end=end)
    assert found.step is not None
    points = [point for point in found.points if point["signal"] == "Speed"]
    assert 100 < len(points) <= MAX_POINTS // 10 + 1
    inside = value[(time < end) & np.isfinite(value)]
    assert max(point["max"] for point in points) == inside.max()
    assert min(point["min"] for point in points) == inside.min()
    assert sum(point["count"] for point in points) == len(inside)
