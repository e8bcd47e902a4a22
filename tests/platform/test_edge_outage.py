"""A vehicle's network cut for seconds, its process killed twice: `python -m tests.edge.outage` does it for minutes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from canfleet.child import ChildPlatform
from tests.edge.outage import Plan, run

pytestmark = pytest.mark.platform


def test_no_frame_that_was_taken_is_lost_or_doubled_by_a_cut_and_two_kills(
    platform: ChildPlatform, tmp_path: Path
) -> None:
    plan = Plan(cut_s=6, steady_s=2, rate=200, max_bytes=4 << 20, longest_pause_s=1)
    report = asyncio.run(run(plan, tmp_path, platform.url, platform.key, platform.clickhouse_url))
    assert report.verdict.faults() == []
    assert report.verdict.stored >= report.verdict.taken > 6 * 200
    assert len(report.verdict.killed) == 2
    assert report.counts["all_sent"]
    assert 0 < report.spool_bytes <= plan.max_bytes
