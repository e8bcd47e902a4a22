"""A minute of chaos: the faults that a platform meets most, and a verdict on every frame. `make chaos` has the rest."""

from __future__ import annotations

import pytest

from tests.chaos.run import Plan, run

FAULTS = ("kill-partition", "kill-gateway", "kill-clickhouse", "stop-partition", "move-shard", "kill-everything")
SETTINGS = {
    "shard": {"partitions": 12, "shards": 3, "checkpoint_interval_s": 15, "rollup_interval_s": 10},
    # A partition actor that is stopped for longer than this loses its shards to the other one, and must find out.
    "scaling": {"min_actors": 2, "max_actors": 2, "look_every_s": 1, "away_after_s": 2},
}


@pytest.mark.platform
def test_nothing_is_lost_or_doubled_whatever_is_killed() -> None:
    said: list[str] = []
    report = run(Plan(seed=2, rate=4_000, every_s=4, faults=FAULTS, external=False, settings=SETTINGS), said.append)
    text = "\n".join([*said, *report.lines()])
    document = report.document
    assert report.kept, text
    assert {name: kind["injected"] for name, kind in document["faults"].items()} == dict.fromkeys(FAULTS, 1), text
    assert not any(kind["never"] for kind in document["faults"].values()), text
    assert document["requests"]["never"] == 0, text
    assert document["restarts"] == 1, text
    verdict = document["verdict"]
    assert verdict["frames"]["stored"] == verdict["frames"]["acknowledged"] > 10_000, text
    assert verdict["letters_expected"] > 0, text
    assert all(ledger["duplicates"] > 0 for ledger in verdict["ledgers"].values()), text
