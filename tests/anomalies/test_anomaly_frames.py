"""Detectors on frames: absence, strangers, floods."""

from __future__ import annotations

import numpy as np
from anomaly_feed import Feed, Frame, opened, seen

from pipeline.anomalies.kinds import Kind, describe
from pipeline.anomalies.settings import AnomalySettings

TWO = [[(0.0, 1.0)], [(0.0, 1.0)]]


def talk(until, messages=2, start=0.0):
    """Message k at k·0.2 s past every second."""
    return [Frame(start + t + 0.2 * k, message=k) for t in range(until) for k in range(messages)]


def without(frames, message, begin, end):
    return [f for f in frames if f.message != message or not begin <= f.seconds < end]


def test_missing_message_fires_while_the_vehicle_talks_and_ends_with_its_return():
    frames = without(talk(60), 1, 20.0, 30.0)
    events = Feed(TWO, [1.0, 1.0]).give(frames)
    assert seen(events) == [("missing_message", 25.0, False), ("missing_message", 25.0, True)]
    assert events.message.tolist() == [1, 1]
    assert events.arbitration_id.tolist() == [0x101, 0x101]
    assert events.end[1] - events.timestamp[1] == 5_200_000
    assert events.value[1] == 11.0


def test_missing_cycle_is_learned_where_the_database_has_none():
    assert opened(Feed(TWO).give(without(talk(60), 1, 20.0, 30.0))) == [("missing_message", 25.0)]


def test_thinned_out_message_follows_its_learned_cycle():
    frames = [f for f in talk(120) if f.message == 0 or round(f.seconds - 0.2) % 4 == 0]
    assert len(Feed(TWO, [1.0, 1.0]).give(frames)) == 0


def test_silent_vehicle_is_offline_not_missing():
    frames = talk(30) + talk(30, start=3600.0)
    assert len(Feed(TWO, [1.0, 1.0]).give(frames)) == 0


def test_message_that_stays_away_stays_open():
    feed = Feed(TWO, [1.0, 1.0])
    events = feed.give(without(talk(200), 1, 20.0, 1e9))
    assert seen(events) == [("missing_message", 25.0, False)]
    assert feed.detector.open_count == 1


def test_unknown_id_once_per_vehicle_and_id():
    strange = [Frame(10 + k, message=-1, arbitration_id=0x7E0) for k in range(20)]
    strange += [Frame(12.5, vehicle=1, message=-1, arbitration_id=0x7E0)]
    strange += [Frame(13.5, message=-1, arbitration_id=0x18FF00AA)]
    frames = sorted(talk(40) + strange, key=lambda f: f.seconds)
    events = Feed(TWO).give(frames)
    assert opened(events) == [("unknown_arbitration_id", at) for at in (10.0, 12.5, 13.5)]
    assert events.arbitration_id.tolist() == [0x7E0, 0x7E0, 0x18FF00AA]
    assert events.vehicle.tolist() == [0, 1, 0]


def test_unknown_id_comes_again_after_its_cooldown():
    settings = AnomalySettings(unknown_arbitration_id={"cooldown_seconds": 30})
    frames = talk(200) + [Frame(at, message=-1, arbitration_id=5) for at in (10.0, 20.0, 100.0)]
    events = Feed(TWO, settings=settings).give(sorted(frames, key=lambda f: f.seconds))
    assert opened(events) == [("unknown_arbitration_id", 10.0), ("unknown_arbitration_id", 100.0)]
    assert int(events.closed.sum()) == 2


def test_unknown_ids_are_bounded_and_counted():
    frames = [Frame(k / 10, message=-1, arbitration_id=k) for k in range(500)]
    feed = Feed(TWO)
    assert len(opened(feed.give(frames))) == 64
    assert feed.detector.overflowed == 436
    assert len(feed.detector.snapshot()["streams"]) == 64


def test_background_of_a_partial_database_is_learned_on_request():
    settings = AnomalySettings(unknown_arbitration_id={"background_seconds": 10})
    frames = [Frame(k / 2, message=-1, arbitration_id=k % 3) for k in range(100)]
    frames += [Frame(60.0, message=-1, arbitration_id=9)]
    assert opened(Feed(TWO, settings=settings).give(frames)) == [("unknown_arbitration_id", 60.0)]


def test_without_databases_no_id_is_unknown():
    assert len(Feed([]).give([Frame(k, message=-1, arbitration_id=k) for k in range(50)])) == 0


def test_flood_is_one_anomaly():
    burst = [Frame(20.25 + k * 0.05, message=1) for k in range(60)]
    events = Feed(TWO, [1.0, 1.0]).give(sorted(talk(60) + burst, key=lambda f: f.seconds))
    assert [kind for kind, _ in opened(events)] == ["flood"]
    assert 20.5 <= opened(events)[0][1] <= 21.0
    assert events.closed.tolist() == [False, True]


def test_uneven_messages_are_neither_missing_nor_flooding():
    rng = np.random.default_rng(4)
    chance = [Frame(float(at), message=1) for at in np.cumsum(rng.exponential(1.0, 300))]
    frames = sorted(talk(300, messages=1) + chance, key=lambda f: f.seconds)
    assert len(opened(Feed(TWO).give(frames))) <= 1


def test_message_that_becomes_more_frequent_floods_once():
    fast = [Frame(30.05 + k * 0.1, message=1) for k in range(3000)]
    frames = sorted([f for f in talk(330) if f.message == 0 or f.seconds < 30] + fast, key=lambda f: f.seconds)
    events = Feed(TWO).give(frames)
    assert [kind for kind, _ in opened(events)] == ["flood"]


def test_every_kind_has_words():
    for kind in Kind:
        text = describe(kind, value=1.5, score=7.0, arbitration_id=0x123, signal="Speed", message="Wheels")
        assert "Speed" in text or "0x123" in text
