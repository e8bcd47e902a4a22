"""How many injected anomalies the detectors find, and how much of what they raise is true, in event time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.shard.anomaly_log import Anomaly, AnomalyLog
from pipeline.shard.group import Group, shard_columns
from pipeline.shard.process import Processor
from pipeline.vehicles import VehicleIndex
from simulator import FLEET_DBC
from simulator.fleet import Fleet
from simulator.injections import Injections
from simulator.score import score

_TICK_US = 1_000_000


def measure_detection(vehicles: int = 1_000, seconds: int = 300) -> dict[str, Any]:
    """Recall and precision by kind over minutes of event time, which take seconds: no clock is waited for.

    The fleet sends 1 % of its frames late and an anomaly per vehicle every 100 s. Duplicates do not come this far.
    """
    config = CanfleetConfig(dbc=(FLEET_DBC,))
    catalogue = load_catalogue(config.profiles())
    index = VehicleIndex()
    processor = Processor(config, catalogue, index)
    fleet = Fleet(vehicles, injections=Injections(late=0.01, anomalies=0.6))
    raised: dict[str, Anomaly] = {}
    for number in range(seconds):
        frames = shard_columns(fleet.tick(fleet.start_us + (number + 1) * _TICK_US), "default", index)
        log = AnomalyLog()
        received_at = np.full(len(frames), fleet.start_us + (number + 1) * _TICK_US, np.int64)
        processor.process(Group(number, number + 1, frames, received_at, None, (), (), {}, 0), log, 0)
        raised |= {anomaly.id: anomaly for anomaly in log.unstored()}
    truth = (episode.as_json() for episode in fleet.episodes())
    return {"vehicles": vehicles, "event_seconds": seconds} | scores(truth, (a.as_dict() for a in raised.values()))


def scores(truth: Iterable[Mapping[str, Any]], anomalies: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """`simulator.score` as a document: `overall` and `kinds`, each with recall, precision and the counts."""
    by_kind = {
        kind: {
            "recall": one.recall,
            "precision": one.precision,
            "episodes": one.episodes,
            "found": one.found,
            "raised": one.raised,
            "false": one.false,
            "secondary": one.secondary,
        }
        for kind, one in score(truth, anomalies).items()
    }
    return {"overall": by_kind.pop("overall"), "kinds": by_kind}
