"""Ranges against Python's own set of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ranges import RangeSet

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)
SPAN = st.tuples(st.integers(0, 64), st.integers(0, 64))


@given(SPANS, SPAN)
def test_ranges_are_the_union_of_what_was_added(spans: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    ranges = RangeSet(spans)
    model = {n for start, end in spans for n in range(start, end)}
    assert {n for start, end in ranges for n in range(start, end)} == model
    edges = [edge for span in ranges for edge in span]
    assert edges == sorted(set(edges)), "ranges are ascending, and those that touch are joined"
    assert list(RangeSet(reversed(spans))) == list(ranges)

    start, end = asked
    wanted = range(start, end)
    assert ranges.covers(start, end) == all(n in model for n in wanted)
    absent = [n for n in wanted if n not in model]
    assert ranges.missing(start, end) == len(absent)
    gap = ranges.first_gap(start, end)
    if not absent:
        assert gap is None
    else:
        first = absent[0]
        length = next((n for n in range(first, end) if n in model), end) - first
        assert gap == (first, first + length)
