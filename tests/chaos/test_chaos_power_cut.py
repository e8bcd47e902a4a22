"""A restart of the whole machine loses nothing: the disk forgets what was not synced, and every frame is there."""

from __future__ import annotations

import pytest

from tests.chaos.run import Plan, run


@pytest.mark.platform
def test_nothing_acknowledged_is_lost_when_the_power_goes() -> None:
    # Checkpoints come fast, so that they say that frames are stored which only ClickHouse holds.
    often = {"shard": {"checkpoint_interval_s": 2, "rollup_interval_s": 2}}
    said: list[str] = []
    plan = Plan(seed=5, rate=4_000, faults=("power-cut",), external=False, settings=often)
    report = run(plan, said.append)
    text = "\n".join([*said, *report.lines()])
    if skipped := report.document["skipped"]:
        pytest.skip(f"no disk whose power could be cut: {skipped}")
    assert report.kept, text
    assert report.document["restarts"] == 1, text
    verdict = report.document["verdict"]
    assert verdict["frames"]["stored"] == verdict["frames"]["acknowledged"] > 10_000, text
