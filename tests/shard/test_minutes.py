"""The gathered minutes against a computation that keeps every value."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.shard import minutes
from pipeline.shard.minutes import Minutes

VALUES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 4),
        st.integers(0, 4 * 60_000_000),
        st.floats(-1e9, 1e9) | st.sampled_from([float("nan"), float("inf"), -0.0, 0.0]),
    ),
    max_size=200,
)


def merged(flushed: list[np.ndarray]) -> dict[tuple[int, int, int], tuple[int, float, float, float, tuple[int, int]]]:
    """What ClickHouse makes of the rows: those of one series and minute become one."""
    found: dict = {}
    for row in np.concatenate(flushed) if flushed else []:
        floats = row.view(np.float64)
        key = (int(row[minutes.KEY]) >> 32, int(row[minutes.KEY]) & 0xFFFFFFFF, int(row[minutes.MINUTE]))
        last = (int(row[minutes.LAST_TIMESTAMP]), int(row[minutes.LAST].astype(np.uint64)))
        new = (int(row[minutes.COUNT]), floats[minutes.MIN], floats[minutes.MAX], floats[minutes.SUM], last)
        old = found.get(key)
        found[key] = (
            new
            if old is None
            else (old[0] + new[0], min(old[1], new[1]), max(old[2], new[2]), old[3] + new[3], max(old[4], new[4]))
        )
    return found


def brute_force(values: list[tuple[int, int, int, float]]) -> dict:
    groups: dict = {}
    for vehicle, signal, timestamp, value in values:
        if np.isfinite(value):
            groups.setdefault((vehicle, signal, timestamp // 60_000_000), []).append((timestamp, value))
    return {
        key: (
            len(found),
            min(value for _, value in found),
            max(value for _, value in found),
            sum(value for _, value in found),
            max((timestamp, int(np.float64(value).view(np.uint64))) for timestamp, value in found),
        )
        for key, found in groups.items()
    }


@given(st.lists(VALUES, max_size=5), st.data())
@settings(max_examples=100, deadline=None)
def test_rows_merge_to_the_aggregates_of_all_values(calls: list, data: st.DataObject) -> None:
    gathered, flushed = Minutes(), []
    for values in calls:
        columns = list(zip(*values, strict=True)) or [(), (), (), ()]
        gathered.add(
            np.array(columns[0], np.int32),
            np.array(columns[1], np.int32),
            np.array(columns[2], np.int64),
            np.array(columns[3], np.float64),
        )
        if data.draw(st.booleans()):
            flushed.append(gathered.flush())
    flushed.append(gathered.flush())
    assert not len(gathered.flush())
    got, want = merged(flushed), brute_force([value for values in calls for value in values])
    assert got.keys() == want.keys()
    for key, row in want.items():
        assert got[key][0] == row[0]
        assert (got[key][1], got[key][2], got[key][4]) == (row[1], row[2], row[4])
        np.testing.assert_allclose(got[key][3], row[3], rtol=1e-9, atol=1e-3)


def test_room_grows_for_any_number_of_series_and_closed_minutes() -> None:
    gathered, n = Minutes(), 50_000
    series = np.arange(n, dtype=np.int32)
    for minute in range(3):
        gathered.add(series // 50, series % 50, np.full(n, minute * 60_000_000), np.ones(n))
    rows = gathered.flush()
    assert len(rows) == 3 * n
    assert (rows[:, minutes.COUNT] == 1).all()
