from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from simulator.fleet import Fleet
from simulator.injections import Injections
from simulator.score import read_truth, score


def episode(kind: str, start: int, end: int, signal: str | None = None, **more: Any) -> dict[str, Any]:
    made = {"vehicle_id": "v", "kind": kind, "message": "M", "signal": signal, "arbitration_id": 7}
    return made | {"start": start * 1_000_000, "end": end * 1_000_000, "complete": True} | more


def anomaly(kind: str, at: float, signal: str | None = None, vehicle: str = "v", **more: Any) -> dict[str, Any]:
    return {"vehicle_id": vehicle, "kind": kind, "timestamp": int(at * 1e6), "signal": signal} | more


def test_an_anomaly_matches_by_vehicle_kind_signal_and_time():
    truth = [episode("sudden_deviation", 10, 10, "S"), {"totals": {"frames": 3}}]
    for raised, found, false, secondary in [
        (anomaly("sudden_deviation", 10, "S"), 1, 0, 0),
        (anomaly("sudden_deviation", 15, "M.S"), 1, 0, 0),
        (anomaly("sudden_deviation", 10, "T"), 0, 0, 1),
        (anomaly("rate_of_change", 12, "S"), 0, 0, 1),
        (anomaly("sudden_deviation", 9.9, "S"), 0, 1, 0),
        (anomaly("sudden_deviation", 15.1, "S"), 0, 1, 0),
        (anomaly("sudden_deviation", 10, "S", "w"), 0, 1, 0),
    ]:
        overall = score(truth, [raised], tolerance_s=5.0)["overall"]
        assert (overall.found, overall.false, overall.secondary) == (found, false, secondary), raised
        assert overall.episodes == 1


def test_kinds_about_frames_match_by_arbitration_id_where_known():
    truth = [episode("flood", 10, 13)]
    assert score(truth, [anomaly("flood", 11)])["flood"].found == 1
    assert score(truth, [anomaly("flood", 11, arbitration_id=7)])["flood"].found == 1
    assert score(truth, [anomaly("flood", 11, arbitration_id=8)])["flood"].found == 0


def test_several_anomalies_of_one_episode_find_it_once():
    scores = score([episode("stuck", 10, 40)], [anomaly("stuck", at, "S") for at in (22, 23, 24)])
    assert scores["stuck"].found == 1
    assert scores["stuck"].raised == 3
    assert scores["stuck"].recall == scores["stuck"].precision == 1.0


def test_incomplete_episodes_are_neither_asked_for_nor_held_against():
    scores = score([episode("stuck", 10, 40, complete=False)], [anomaly("stuck", 22, "S")])
    assert (scores["stuck"].episodes, scores["stuck"].false, scores["stuck"].secondary) == (0, 0, 1)
    assert scores["overall"].recall == scores["overall"].precision == 1.0


def test_recall_and_precision():
    truth = [episode("stuck", 10, 40), episode("flood", 100, 103)]
    raised = [anomaly("stuck", 22, "S"), anomaly("stuck", 70, "S"), anomaly("out_of_range", 80, "S")]
    scores = score(truth, raised)
    assert (scores["stuck"].recall, scores["stuck"].precision) == (1.0, 0.5)
    assert (scores["flood"].recall, scores["flood"].precision) == (0.0, 1.0)
    assert scores["out_of_range"].precision == 0.0
    assert (scores["overall"].recall, scores["overall"].precision) == (0.5, pytest.approx(1 / 3))


def test_a_fleets_own_truth_scores_itself_perfectly(tmp_path: Path):
    fleet = Fleet(30, injections=Injections(anomalies=3.0))
    fleet.tick(fleet.start_us + 180_000_000)
    fleet.write_truth(tmp_path / "truth")
    truth = read_truth(tmp_path / "truth")
    raised = [anomaly(e["kind"], e["end"] / 1e6, e["signal"], e["vehicle_id"]) for e in truth if "totals" not in e]
    overall = score(truth, raised)["overall"]
    assert overall.episodes > 20
    assert overall.recall == overall.precision == 1.0
    with pytest.raises(ConfigError, match="nothing"):
        read_truth(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="truth file"):
        fleet.write_truth(tmp_path / "absent" / "truth")
