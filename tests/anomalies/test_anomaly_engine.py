"""The engine as a whole: batches may be cut anywhere, checkpoints taken anywhere."""

from __future__ import annotations

import io
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from anomaly_feed import Feed, Frame, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.anomalies import state
from pipeline.anomalies.engine import AnomalyEvents
from pipeline.errors import ConfigError

RANGES = [[(0.0, 100.0), (-50.0, 50.0)], [(0.0, 10.0)], [(float("nan"), float("nan"))] * 2]


def traffic(seed, vehicles=3, seconds=60):
    """Everything at once: noise, faults of all kinds, late frames, NaN."""
    rng = np.random.default_rng(seed)
    frames = []
    for vehicle in range(vehicles):
        quiet = set(rng.integers(20, seconds, 12).tolist())
        for tick in range(seconds):
            for message in range(3):
                if message == 1 and tick in range(25, 37):
                    continue
                values = [50 + rng.normal(0, 1), rng.normal(0, 3)] if message == 0 else [5 + rng.normal(0, 0.1)] * 2
                values = [float(np.round(v, 2)) for v in values[: len(RANGES[message])]]
                if tick in quiet:
                    values[0] = float(rng.choice([values[0] + 40.0, 1e6, float("nan"), 3.0]))
                frames.append(Frame(tick + 0.1 * message + vehicle * 0.01, vehicle, message, tuple(values)))
            if rng.random() < 0.1:
                frames.append(Frame(tick + 0.5, vehicle, -1, (), arbitration_id=int(rng.integers(0x600, 0x700))))
            if tick == 40:
                frames += [Frame(tick + 0.3 + k * 0.05, vehicle, 2, (5.0, 5.0)) for k in range(40)]
    frames.sort(key=lambda frame: frame.seconds + (rng.random() < 0.03) * 2.0)
    return frames


def joined(parts):
    return {
        field.name: np.concatenate([getattr(part, field.name) for part in parts]).tolist()
        for field in fields(AnomalyEvents)
    }


FRAMES = traffic(7)


@pytest.fixture(scope="module")
def whole():
    events = Feed(RANGES, [1.0, 1.0, 0.0]).give(FRAMES)
    assert len({kind for kind, _ in opened(events)}) >= 5
    return joined([events])


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, len(FRAMES)), max_size=40))
def test_any_batches_give_the_same_events(whole, cuts):
    feed = Feed(RANGES, [1.0, 1.0, 0.0])
    edges = [0, *sorted(cuts), len(FRAMES)]
    assert joined([feed.give(FRAMES[a:b]) for a, b in pairwise(edges)]) == whole


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(0, len(FRAMES)))
def test_a_restored_snapshot_goes_on_as_if_nothing_happened(whole, cut):
    feed = Feed(RANGES, [1.0, 1.0, 0.0])
    first = feed.give(FRAMES[:cut])
    file = io.BytesIO()
    np.savez(file, **feed.detector.snapshot())
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        feed.detector = feed.fresh()
        feed.detector.restore(dict(stored))
    assert joined([first, feed.give(FRAMES[cut:])]) == whole


def test_a_snapshot_is_a_copy():
    feed = Feed(RANGES)
    feed.give(FRAMES[:100])
    snapshot = feed.detector.snapshot()
    before = snapshot["series"].tobytes()
    feed.give(FRAMES[100:])
    assert snapshot["series"].tobytes() == before


def test_a_foreign_snapshot_is_refused():
    feed = Feed(RANGES)
    snapshot = feed.detector.snapshot()
    with pytest.raises(ConfigError, match="other signal databases"):
        Feed(RANGES[:2]).detector.restore(snapshot)
    with pytest.raises(ConfigError, match="version"):
        feed.detector.restore({**snapshot, "catalogue": snapshot["catalogue"] + [0, 1]})
    with pytest.raises(ConfigError, match="version"):
        feed.detector.restore({"catalogue": snapshot["catalogue"]})


def test_many_anomalies_at_once_outgrow_every_buffer():
    vehicles, signals = 3000, 8
    feed = Feed([[(0.0, 1.0)] * signals])
    frames = [Frame(vehicle / 1e4, vehicle, 0, (5.0,) * signals) for vehicle in range(vehicles)]
    events = feed.give(frames)
    assert len(events) == vehicles * signals == feed.detector.open_count
    closing = feed.give([Frame(30 + frame.seconds, frame.vehicle, 0, (0.5,) * signals) for frame in frames])
    assert len(closing) == vehicles * signals
    assert closing.closed.all()
    assert feed.detector.open_count == 0
    again = feed.give([Frame(60 + frame.seconds, frame.vehicle, 0, (5.0,) * signals) for frame in frames])
    assert len(again) == vehicles * signals
    assert len(feed.detector.snapshot()["open"]) == vehicles * signals


def test_rows_stay_compact():
    assert state.SERIES.itemsize <= 96
    assert state.STREAM.itemsize <= 112


def test_nothing_in_gives_nothing_out():
    feed = Feed(RANGES)
    feed.detector.warm()
    assert len(feed.give([])) == 0
    assert feed.detector.open_count == 0
