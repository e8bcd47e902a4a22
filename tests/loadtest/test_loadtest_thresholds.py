"""Which bounds a run breaks, how they are changed, and whether the ledger agrees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.catalogue import SCENARIOS
from loadtest.ledger import disagreements
from loadtest.thresholds import THRESHOLDS, Measured, Threshold, missed, with_overrides

GOOD = Measured(requests=1_000, failed=0, p50_ms=10, p99_ms=90, due=50_000, acknowledged=50_000, broken=0, seconds=10.0)
BOUNDS = Threshold(p99_ms=100, failures=0.01, share=0.9, per_s=4_000)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"p99_ms": 101.0}, "above --max-p99-ms 100"),
        ({"failed": 11}, "above --max-failures 0.01"),
        ({"acknowledged": 44_000}, "below --min-share 0.9"),
        ({"seconds": 13.0}, "below --min-per-s 4,000"),
        ({"broken": 1}, "1 answers were 500"),
        ({"requests": 0}, "nothing was finished"),
    ],
)
def test_each_bound_that_is_broken_is_named(change: dict[str, float], named: str) -> None:
    assert missed("batches", BOUNDS, GOOD) == []
    [line] = missed("batches", BOUNDS, replace(GOOD, **change))
    assert line.startswith("batches: ")
    assert named in line


def test_bounds_are_changed_for_one_kind_or_for_all() -> None:
    changed = with_overrides(THRESHOLDS, {"--max-p99-ms": "300,single=800", "--min-share": None, "--min-per-s": ""})
    assert changed["single"] == replace(THRESHOLDS["single"], p99_ms=800)
    assert {kind: one.p99_ms for kind, one in changed.items() if kind != "single"} == dict.fromkeys(
        THRESHOLDS.keys() - {"single"}, 300
    )
    for text, words in (("nobody=3", "no 'nobody'"), ("single=x", "'x' is no number")):
        with pytest.raises(ValueError, match=words):
            with_overrides(THRESHOLDS, {"--max-failures": text})


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_a_size_is_shared_by_those_who_send(scenario) -> None:
    assert scenario.file.exists()
    for users in (scenario.users, 2 * scenario.users):
        shared = scenario.options(users, 6_000, 12_000)
        total = shared["--vehicles-per-user"] * scenario.live_users(users)
        assert total == pytest.approx(6_000, rel=0.01)
        assert total * shared["--hz"] == pytest.approx(12_000)


def test_the_ledger_must_hold_what_was_acknowledged() -> None:
    before = {"accepted": 100, "dead_lettered": 1, "pending": 0, "frames_missing": 0}
    kinds = {"batches": {"accepted": 40, "duplicates": 10, "dead_lettered": 0, "given_up": 0},
             "misbehaving": {"accepted": 0, "duplicates": 0, "dead_lettered": 2, "given_up": 0}}  # fmt: skip
    after = before | {"accepted": 150, "dead_lettered": 3}
    assert disagreements(before, after, kinds, alone=True) == []
    assert disagreements(before, after | {"accepted": 151, "frames_missing": 3}, kinds, alone=False) == []
    for change, alone, words in (
        ({"accepted": 149}, False, "50 frames were acknowledged, the ledger has 49"),
        ({"accepted": 151}, True, "the ledger has 51"),
        ({"dead_lettered": 2}, False, "2 rows became dead letters"),
        ({"pending": 5}, False, "5 frames still wait"),
        ({"frames_missing": 4}, True, "4 frames are missing"),
    ):
        [line] = disagreements(before, after | change, kinds, alone=alone)
        assert words in line
