"""Observations by size, against counting by hand."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pipeline.observations import Observations

SIZES = st.floats(0, 100, allow_nan=False)


@given(
    st.lists(SIZES, min_size=1, max_size=8, unique=True).map(sorted), st.lists(st.lists(SIZES, max_size=30), max_size=4)
)
def test_each_bucket_counts_what_is_not_above_its_bound(bounds: list[float], rounds: list[list[float]]) -> None:
    observations = Observations(bounds)
    for values in rounds:
        for value in values:
            observations.add(value)
        cumulative, total = observations.take()
        assert cumulative == [sum(value <= bound for value in values) for bound in [*bounds, math.inf]]
        assert math.isclose(total, math.fsum(values), abs_tol=1e-9)


def test_bounds_are_labels_as_prometheus_writes_them() -> None:
    assert Observations([0.001, 1, 30.0]).labels == ["0.001", "1.0", "30.0", "+Inf"]
