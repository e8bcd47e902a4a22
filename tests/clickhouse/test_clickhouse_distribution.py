"""A signal over the fleet, from the real engine's rollups."""

from __future__ import annotations

import numpy as np
import pytest
from clickhouse_rows import START, signal_rows, store

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.distribution import BINS, distribution
from pipeline.clickhouse.resolution import DAY, HOUR, MINUTE
from pipeline.clickhouse.writer import Writer


@pytest.mark.parametrize(("span", "resolution", "unit"), [(HOUR, "1m", MINUTE), (3 * DAY, "1h", HOUR)])
def test_a_fleets_values(warehouse: Warehouse, span: int, resolution: str, unit: int) -> None:
    batch = signal_rows(30_000, 1)
    store(Writer(warehouse), batch, "a")
    store(Writer(warehouse), signal_rows(500, 2, fleet="other"), "b")
    rows = batch.to_pandas()
    rows["us"] = rows["timestamp"].astype("int64")
    begin = START // unit * unit
    # The last minute is whole, so that it counts with what lies beyond the range too.
    last = (START + span - 1) // unit * unit + unit
    mine = rows[(rows.signal == "Speed") & np.isfinite(rows.value) & (rows.us >= begin) & (rows.us < last)]
    found = distribution(warehouse, "acme", "Speed", start=START, end=START + span, by="mean", limit=2)
    assert found.resolution == resolution
    assert found.totals["vehicles"] == 3
    assert found.totals["count"] == len(mine)
    assert (found.totals["min"], found.totals["max"]) == (mine.value.min(), mine.value.max())
    assert found.totals["mean"] == pytest.approx(mine.value.mean())
    by_vehicle = mine.groupby("vehicle_id", observed=True).value.agg(["count", "min", "max", "mean"])
    leading = by_vehicle.sort_values("mean", ascending=False).head(2)
    assert [one["vehicle_id"] for one in found.top] == leading.index.tolist()
    for one in found.top:
        expected = by_vehicle.loc[one["vehicle_id"]]
        assert one["count"] == expected["count"]
        assert (one["min"], one["max"]) == (expected["min"], expected["max"])
        assert one["mean"] == pytest.approx(expected["mean"])
    assert len(found.histogram) == BINS
    assert sum(one["count"] for one in found.histogram) == len(mine)
    assert found.histogram[0]["low"] == mine.value.min()
    assert found.histogram[-1]["high"] == pytest.approx(mine.value.max())
    means = mine.assign(bucket=mine.us // unit).groupby(["vehicle_id", "bucket"], observed=True).value
    each = np.repeat(means.mean().to_numpy(), means.count().to_numpy())
    for level, value in found.quantiles.items():
        share = float(level)
        # The digest interpolates between neighbours: of three vehicles' hours there are but nine means.
        slack = 0.03 if unit == MINUTE else 0.15
        low, high = np.quantile(each, [max(0, share - slack), min(1, share + slack)])
        assert low - 1e-5 <= value <= high + 1e-5


@pytest.mark.parametrize("by", ["max", "min", "mean", "last", "count"])
def test_who_leads(warehouse: Warehouse, by: str) -> None:
    batch = signal_rows(3_000, 3)
    store(Writer(warehouse), batch, "a")
    rows = batch.to_pandas()
    mine = rows[(rows.signal == "Rpm") & np.isfinite(rows.value)].sort_values("timestamp")
    found = distribution(warehouse, "acme", "Rpm", start=START, end=START + DAY, by=by)  # type: ignore[arg-type]
    values = mine.groupby("vehicle_id", observed=True).value.agg(by)
    assert [one["vehicle_id"] for one in found.top] == values.sort_values(ascending=by == "min").index.tolist()


def test_no_values_and_one(warehouse: Warehouse) -> None:
    none = distribution(warehouse, "acme", "Speed", start=START, end=START + DAY)
    assert (none.totals["vehicles"], none.totals["count"], none.totals["max"]) == (0, 0, None)
    assert (none.quantiles, none.histogram, none.top) == ({}, [], [])
    batch = signal_rows(40, 5, bad=0).filter(np.r_[True, np.zeros(39, bool)])
    store(Writer(warehouse), batch, "a")
    [signal] = batch.column("signal").to_pylist()
    one = distribution(warehouse, "acme", signal, start=START, end=START + DAY)
    assert [single["count"] for single in one.histogram] == [1]
    [value] = batch.column("value").to_pylist()
    assert all(quantile == pytest.approx(value, rel=1e-6) for quantile in one.quantiles.values())
