"""The overload part of the benchmark: its critical requests are critical, its bars tell what they should."""

from __future__ import annotations

import time
from typing import Any

from canfleet.benchmark import bars
from canfleet.benchmark.overload import CRITICAL_FRAMES, critical_body, memory_summary
from pipeline.decode.databases import load_catalogue
from pipeline.frames.body import ARROW, read_body
from pipeline.frames.limits import FrameLimits
from pipeline.lanes.classify import Classifier
from pipeline.lanes.lane import Lane
from pipeline.lanes.settings import LaneSettings
from simulator import FLEET_DBC


def test_critical_requests_are_critical_and_new_each_time() -> None:
    now = time.time_ns() // 1000
    classifier = Classifier.of_catalogue(LaneSettings(), load_catalogue({"default": [FLEET_DBC]}))
    identities = set()
    for number in range(3):
        parsed = read_body(critical_body(now, number), ARROW, None, FrameLimits(), now)
        assert parsed.rejected is None or not parsed.rejected.num_rows
        assert classifier.lane(parsed.frames, now) is Lane.CRITICAL
        identities |= {(row["vehicle_id"], row["session"], row["sequence"]) for row in parsed.frames.to_pylist()}
    assert len(identities) == 3 * CRITICAL_FRAMES


def test_memory_is_compared_between_the_halves_of_a_run() -> None:
    samples = [(float(second), 100.0 if second < 5 else 200.0 + second) for second in range(15)]
    summary = memory_summary(samples)
    assert (summary["start_mib"], summary["first_half_mib"], summary["second_half_mib"]) == (100, 209, 214)
    assert memory_summary([])["second_half_mib"] == 0


def run(p99: float, refused: int, told_when: int, critical_refused: int = 0) -> list[bool]:
    document: dict[str, Any] = {
        "rate": 1.0,
        "critical": {"latency_ms": {"p99": p99}, "refused": critical_refused},
        "normal": {"refused": refused, "told_when": told_when},
        "checks": {"every accepted frame is stored": True},
    }
    return [bar.met for bar in bars.overload_bars(document)]


def test_bars_of_overload() -> None:
    assert run(99, 5, 5) == [True, True, True]
    assert run(101, 5, 5) == [False, True, True]
    assert run(99, 5, 5, critical_refused=1) == [False, True, True]
    assert run(99, 5, 4) == [True, False, True]
    assert run(99, 0, 0) == [True, False, True]
