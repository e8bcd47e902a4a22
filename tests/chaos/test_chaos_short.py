"""A minute of chaos: the faults that a platform meets most, and a verdict on every frame. `make chaos` has the rest."""

from __future__ import annotations

import pytest

from tests.chaos.run import Plan, run

FAULTS = ("kill-partition", "kill-gateway", "kill-clickhouse", "stop-partition", "kill-everything")


@pytest.mark.platform
def test_nothing_is_lost_or_doubled_whatever_is_killed() -> None:
    said: list[str] = []
    report = run(Plan(seed=2, rate=4_000, every_s=4, faults=FAULTS, external=False), said.append)
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
