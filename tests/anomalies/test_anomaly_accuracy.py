"""Recall and precision with default settings, on a fleet that this folder makes up and on the simulator's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from anomaly_drive import CYCLE_S, FAULTS, LAYOUT, NAMES, SIGNALS, Fault, fleet
from anomaly_feed import START_US

from pipeline.anomalies.engine import AnomalyDetector, AnomalyEvents
from pipeline.anomalies.kinds import NAMES as KINDS
from pipeline.anomalies.kinds import Kind
from pipeline.decode.databases import load_catalogue
from pipeline.decode.decoder import Decoder
from pipeline.frames.columns import FrameColumns
from simulator.fleet import Fleet
from simulator.injections import Injections

PATIENCE_S = 3.0
"""A fault may be reported this long after its end: signals come every two seconds."""


def detector() -> AnomalyDetector:
    return AnomalyDetector(
        np.array([low for _, _, low, _, _ in SIGNALS]),
        np.array([high for _, _, _, high, _ in SIGNALS]),
        np.array(CYCLE_S) * 1e6,
        np.array([message for message, *_ in SIGNALS], np.int32),
        NAMES,
        [LAYOUT[message][0] for message, *_ in SIGNALS],
    )


def observe(
    seed: int, vehicles: int, seconds: int, faulty: float, emergencies: float = 0.1
) -> tuple[AnomalyEvents, list[Fault]]:
    frames, (message, row, signal, series, value), faults = fleet(seed, vehicles, seconds, faulty, emergencies)
    return detector().observe(frames.vehicle, frames, message, row, signal, series, value), faults


def explains(fault: Fault, kind: str, vehicle: int, signal: int, message: int, identifier: int, at_s: float) -> bool:
    if fault.vehicle != vehicle or fault.kind != kind:
        return False
    if not fault.begin_s - 1e-3 <= at_s <= fault.end_s + PATIENCE_S:
        return False
    subject = {"missing_message": message, "flood": message, "unknown_arbitration_id": identifier}.get(kind, signal)
    return fault.subject == subject


def test_faults_are_found_and_nothing_else_is() -> None:
    found: Counter[str] = Counter()
    total: Counter[str] = Counter()
    reports = right = 0
    for seed in (1, 2):
        events, faults = observe(seed, 120, 90, 0.8)
        total.update(fault.kind for fault in faults)
        hit = set()
        for k in np.flatnonzero(~events.closed):
            about = (
                KINDS[events.kind[k]],
                int(events.vehicle[k]),
                int(events.signal[k]),
                int(events.message[k]),
                int(events.arbitration_id[k]),
                (int(events.timestamp[k]) - START_US) / 1e6,
            )
            reasons = [number for number, fault in enumerate(faults) if explains(fault, *about)]
            hit.update(reasons)
            reports += 1
            right += bool(reasons)
        found.update(faults[number].kind for number in hit)
    recall = {kind: found[kind] / total[kind] for kind in FAULTS}
    assert min(recall.values()) >= 0.9, recall
    assert found.total() / total.total() >= 0.95, recall
    assert right / reports >= 0.95, (right, reports)


def test_normal_driving_raises_next_to_nothing() -> None:
    """200 vehicles, 300 vehicle minutes, one phase in ten ends in an emergency braking."""
    events, _ = observe(11, 200, 90, 0.0)
    assert np.count_nonzero(~events.closed) <= 1


def test_one_vehicle_alone_raises_little() -> None:
    """Without a fleet to learn from: 50 minutes of ordinary driving of five lone vehicles."""
    assert sum(np.count_nonzero(~observe(seed, 1, 600, 0.0, 0.0)[0].closed) for seed in range(5)) <= 8


def test_simulated_anomalies_are_found() -> None:
    simulated = Fleet(250, seed=5, injections=Injections(anomalies=2.0))
    catalogue = load_catalogue({"default": [Path(simulated.dbc_path)]})
    decoder = Decoder(catalogue)
    names = catalogue.signal_names.to_pylist()
    engine = AnomalyDetector(
        catalogue.signal_minimum,
        catalogue.signal_maximum,
        catalogue.message_cycle_us,
        catalogue.signal_message,
        names,
        catalogue.signal_message_names.to_pylist(),
    )
    reports = []
    for tick in range(1, 91):
        frames = FrameColumns.from_batch(simulated.tick(simulated.start_us + tick * 1_000_000))
        decoded = decoder.decode(frames)
        series = frames.vehicle[decoded.row] * len(names) + decoded.signal
        events = engine.observe(
            frames.vehicle, frames, decoded.message, decoded.row, decoded.signal, series, decoded.value
        )
        for k in np.flatnonzero(~events.closed):
            signal = names[events.signal[k]] if events.signal[k] >= 0 else None
            reports.append(
                (
                    KINDS[events.kind[k]],
                    f"veh-{events.vehicle[k]:05d}",
                    signal if events.kind[k] != Kind.STUCK else None,
                    int(events.arbitration_id[k]),
                    int(events.timestamp[k]),
                )
            )
    truth = simulated.episodes()
    right, found = set(), set()
    for number, episode in enumerate(truth):
        for k, (kind, vehicle, signal, identifier, at) in enumerate(reports):
            same = (episode.kind, episode.vehicle_id, episode.arbitration_id) == (kind, vehicle, identifier)
            if same and episode.signal == signal and episode.start <= at <= episode.end + PATIENCE_S * 1e6:
                right.add(k)
                found.add(number)
    complete = {number for number, episode in enumerate(truth) if episode.complete}
    assert len(complete) > 100
    assert len(found & complete) / len(complete) >= 0.95
    assert len(right) / len(reports) >= 0.95
