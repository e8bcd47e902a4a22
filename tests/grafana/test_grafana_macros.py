"""The expansion that the other tests rely on, against what the data source's documentation and own tests say."""

from __future__ import annotations

import pytest
from grafana_macros import ALL, Range, expanded

OF = Range(1_705_320_000, 1_705_406_400, 20.5)


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("$__timeFilter(t)", "t >= toDateTime(1705320000) AND t <= toDateTime(1705406400)"),
        (
            "$__timeFilter_ms(t)",
            "t >= fromUnixTimestamp64Milli(1705320000000) AND t <= fromUnixTimestamp64Milli(1705406400000)",
        ),
        ("$__dateFilter(d)", "d >= toDate('2024-01-15') AND d <= toDate('2024-01-16')"),
        (
            "$__dt(d, t)",
            "(d >= toDate('2024-01-15') AND d <= toDate('2024-01-16'))"
            " AND (t >= toDateTime(1705320000) AND t <= toDateTime(1705406400))",
        ),
        ("$__fromTime, $__toTime", "toDateTime(1705320000), toDateTime(1705406400)"),
        ("($__fromTime)", "(toDateTime(1705320000))"),
        ("$__fromTime_ms", "fromUnixTimestamp64Milli(1705320000000)"),
        ("$__timeInterval(t)", "toStartOfInterval(toDateTime(t), INTERVAL 20 second)"),
        ("$__timeInterval_ms(t)", "toStartOfInterval(toDateTime64(t, 3), INTERVAL 20500 millisecond)"),
        ("$__interval_s", "20"),
        ("$__conditionalAll(f(a, b) IN (${some:sqlstring}), $some) AND 1", "f(a, b) IN ('x','it''s') AND 1"),
        ("$__conditionalAll(a IN ($all), $all)", "1=1"),
        ("${one:sqlstring} $one ${one} ${some}", "'v' v v 'x','it's'"),
    ],
)
def test_expansion(sql: str, sent: str) -> None:
    assert expanded(sql, OF, {"some": ["x", "it's"], "all": ALL, "one": "v"}) == sent


def test_intervals_are_a_second_at_least() -> None:
    assert expanded("$__interval_s", Range(0, 1, 0.1), {}) == "1"


@pytest.mark.parametrize("sql", ["$__nothing(t)", "$__timeFilter(a, b)", "$__timeFilter(f(t))", "$__timeFilter"])
def test_what_the_data_source_would_not_expand_is_an_error(sql: str) -> None:
    with pytest.raises(ValueError, match="no macro"):
        expanded(sql, OF, {})
