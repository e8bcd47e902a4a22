"""The uploader, step by step on a clock of the test's, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from edge_frames import Clock, Source, as_object, numbers
from edge_platform import CUT, CUT_AFTER_STORING, KEY, Platform, Reply, moody

from edge.backoff import Backoff, retry_after_s
from edge.body import lines
from edge.delivery import Delivery
from edge.errors import SettingsError
from edge.rejected import Rejected
from edge.spool import Spool
from edge.uploader import Uploader


class Vehicle:
    """A spool and its uploader, on one clock."""

    def __init__(self, directory: Path, url: str, clock: Clock, key: str = KEY) -> None:
        self.clock = clock
        self.key = key
        self.spool = Spool(directory, "truck-7", batch_frames=100, clock=clock, wall_clock=clock)
        self.source = Source(self.spool, clock)
        self.rejected = Rejected(directory, max_bytes=2000)
        self.delivery = Delivery(url, lambda: self.key, timeout_s=20.0)
        self.uploader = Uploader(self.spool, self.delivery, self.rejected, clock=clock, wall_clock=clock)

    def drive(self, count: int) -> None:
        self.source.write(count)
        self.clock.now_s += 1.0

    def until_empty(self) -> None:
        for _ in range(1000):
            if self.spool.empty:
                return
            self.clock.now_s += self.uploader.step()
        pytest.fail("the spool does not become empty")


@contextmanager
def driving(directory: Path, platform: Platform, clock: Clock | None = None) -> Iterator[Vehicle]:
    vehicle = Vehicle(directory, platform.url, clock or Clock())
    try:
        yield vehicle
    finally:
        vehicle.uploader.stop()
        vehicle.spool.close()


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as running:
        yield running


def test_a_frame_arrives_as_it_was(tmp_path: Path, platform: Platform) -> None:
    with driving(tmp_path, platform) as vehicle:
        frames = vehicle.source.write(50)
        batch = vehicle.spool.take(at_once=True)
        assert batch is not None
        assert [json.loads(line) for line in lines(batch).splitlines()] == [as_object(f, "truck-7") for f in frames]
        vehicle.spool.give_back(batch)
        vehicle.until_empty()
    assert list(platform.stored.values()) == frames
    [request] = platform.requests
    assert request.vehicle_ids == {"truck-7"}
    assert "x-canfleet-lane" not in request.headers


def test_nothing_to_send_is_no_request(tmp_path: Path, platform: Platform) -> None:
    with driving(tmp_path, platform) as vehicle:
        assert 0 < vehicle.uploader.step() <= 1.0
        vehicle.source.write(5)
        assert 0 < vehicle.uploader.step() <= 1.0
    assert not platform.requests


def test_an_outage_is_waited_out(tmp_path: Path, platform: Platform) -> None:
    platform.script.extend([Reply(503), CUT, Reply(500)])
    with driving(tmp_path, platform) as vehicle:
        for _ in range(20):
            vehicle.drive(70)
            vehicle.uploader.step()
            vehicle.clock.now_s += 9.0
        vehicle.until_empty()
        assert vehicle.uploader.counts.sent == 1400
        assert vehicle.uploader.counts.failures == 3
    assert sorted(platform.stored) == [(vehicle.spool.session, n) for n in range(1400)]


def test_order_and_lane_of_a_backlog(tmp_path: Path, platform: Platform) -> None:
    clock = Clock()
    with driving(tmp_path, platform, clock) as vehicle:
        for _ in range(10):
            vehicle.drive(100)
            clock.now_s += 19.0
    with driving(tmp_path, platform, clock) as vehicle:
        vehicle.drive(100)
        vehicle.until_empty()
        sessions = vehicle.spool.session
    order = [(request.frames[0].session, request.frames[0].sequence) for request in platform.requests]
    assert order == sorted(order, reverse=True)
    assert order[0] == (sessions, 0)
    assert len(order) == 11
    lanes = [request.headers.get("x-canfleet-lane") for request in platform.requests]
    assert lanes == [None] * 3 + ["backfill"] * 8


def test_fresh_frames_overtake_the_backlog(tmp_path: Path, platform: Platform) -> None:
    with driving(tmp_path, platform) as vehicle:
        vehicle.source.write(500)
        vehicle.uploader.step()
        vehicle.drive(100)
        vehicle.uploader.step()
        vehicle.until_empty()
    firsts = [request.frames[0].sequence for request in platform.requests]
    assert firsts == [400, 500, 300, 200, 100, 0]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(tmp_path: Path, platform: Platform, status: int) -> None:
    platform.script.append(Reply(status, retry_after="17"))
    with driving(tmp_path, platform) as vehicle:
        vehicle.drive(10)
        assert vehicle.uploader.step() >= 17.0
        vehicle.clock.now_s += 16.9
        assert 0 < vehicle.uploader.step() < 5.0
        assert len(platform.requests) == 1
        vehicle.until_empty()
    assert len(platform.requests) == 2


def test_what_was_taken_before_the_connection_broke_is_sent_again(tmp_path: Path, platform: Platform) -> None:
    platform.script.extend([CUT_AFTER_STORING, CUT, CUT_AFTER_STORING])
    with driving(tmp_path, platform) as vehicle:
        vehicle.drive(100)
        vehicle.until_empty()
        assert vehicle.uploader.counts.sent == vehicle.uploader.counts.duplicates == 100
    assert set(platform.copies.values()) == {3}
    assert len(platform.stored) == 100


def test_whatever_fails_everything_arrives_unchanged(tmp_path: Path, platform: Platform) -> None:
    platform.chance = moody(3)
    clock = Clock()
    taken = []
    for _ in range(4):
        with driving(tmp_path, platform, clock) as vehicle:
            for _ in range(10):
                taken += vehicle.source.write(130)
                clock.now_s += 1.0
                vehicle.uploader.step()
    with driving(tmp_path, platform, clock) as vehicle:
        vehicle.until_empty()
    assert sorted(platform.stored) == numbers(taken)
    assert list(map(platform.stored.__getitem__, numbers(taken))) == taken
    assert max(platform.copies.values()) > 1


def test_only_what_cannot_be_read_is_put_aside(tmp_path: Path, platform: Platform) -> None:
    bad = {13, 57, 58}
    platform.readable = lambda frame: frame.sequence not in bad
    with driving(tmp_path, platform) as vehicle:
        frames = vehicle.source.write(100)
        vehicle.until_empty()
        assert vehicle.uploader.counts.rejected == 3
        kept = [json.loads(line) for line in vehicle.rejected.path.read_text().splitlines()]
    assert {number for _, number in platform.stored} == set(range(100)) - bad
    assert sorted(row["frame"]["sequence"] for row in kept) == sorted(bad)
    for row in kept:
        assert row["frame"] == as_object(frames[row["frame"]["sequence"]], "truck-7")
        assert "400: says the test" in row["reason"]


def test_a_platform_that_reads_nothing_does_not_empty_the_spool(
    tmp_path: Path, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    platform.readable = lambda frame: False
    with driving(tmp_path, platform) as vehicle:
        vehicle.drive(200)
        for _ in range(300):
            vehicle.clock.now_s += vehicle.uploader.step()
        assert vehicle.uploader.counts.rejected == 10
        assert "is the URL right" in caplog.text
        platform.readable = lambda frame: True
        vehicle.until_empty()
    assert len(platform.stored) == 190


def test_the_rejected_file_is_bounded(tmp_path: Path, platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    platform.readable = lambda frame: frame.sequence % 2 == 0
    with driving(tmp_path, platform) as vehicle:
        vehicle.source.write(100)
        vehicle.until_empty()
        assert vehicle.uploader.counts.rejected == 50
        files = sorted(tmp_path.glob("rejected*"))
        assert [file.name for file in files] == ["rejected.ndjson", "rejected.ndjson.1"]
        assert all(file.stat().st_size < 2500 for file in files)
    assert "are gone" in caplog.text


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_once_and_tried_again(
    tmp_path: Path, platform: Platform, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    platform.script.extend([Reply(status)] * 3)
    with driving(tmp_path, platform) as vehicle:
        vehicle.drive(10)
        waits = []
        while platform.script:
            waits.append(vehicle.uploader.step())
            vehicle.clock.now_s += waits[-1]
        assert all(wait >= 15.0 for wait in waits)
        assert caplog.text.count(f"answered {status}: says the test") == 1
        vehicle.until_empty()
    assert "takes frames again" in caplog.text
    assert len(platform.stored) == 10


def test_a_rotated_key_is_taken_up(tmp_path: Path, platform: Platform) -> None:
    with driving(tmp_path, platform) as vehicle:
        platform.key = "cf_new"
        vehicle.drive(10)
        vehicle.clock.now_s += vehicle.uploader.step()
        assert not platform.stored
        vehicle.key = "cf_new"
        vehicle.until_empty()
    assert len(platform.requests) == 2


@pytest.mark.parametrize("reply", [Reply(404), Reply(302), Reply(200)])
def test_an_answer_that_no_platform_gives_keeps_the_frames(tmp_path: Path, platform: Platform, reply: Reply) -> None:
    platform.script.append(reply)
    with driving(tmp_path, platform) as vehicle:
        vehicle.drive(10)
        assert vehicle.uploader.step() >= 15.0
        assert not vehicle.spool.empty


def test_a_key_that_no_header_carries_keeps_the_frames(
    tmp_path: Path, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    with driving(tmp_path, platform) as vehicle:
        vehicle.key = "schlüssel\n"
        vehicle.drive(10)
        assert vehicle.uploader.step() >= 15.0
        assert "characters that no key has" in caplog.text
        assert not vehicle.spool.empty
        vehicle.key = KEY
        vehicle.until_empty()


def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Platform() as gone:
        pass
    with driving(tmp_path, gone) as vehicle:
        vehicle.drive(10)
        for _ in range(5):
            vehicle.clock.now_s += vehicle.uploader.step()
        assert not vehicle.spool.empty
        assert vehicle.uploader.counts.failures == 5
    assert caplog.text.count("frames wait in the spool") == 1


def test_the_thread_sends_what_is_left_when_it_is_stopped(tmp_path: Path, platform: Platform) -> None:
    delivery = Delivery(platform.url, lambda: KEY)
    with Spool(tmp_path, "truck-7") as spool:
        uploader = Uploader(spool, delivery, Rejected(tmp_path))
        uploader.start()
        frames = Source(spool).write(2500)
        assert uploader.stop(drain_s=60.0)
        assert not uploader.alive
    assert sorted(platform.stored) == numbers(frames)


@pytest.mark.parametrize("url", ["", "platform", "ftp://platform", "http://", "http://[::1"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(SettingsError, match="is no URL"):
        Delivery(url, lambda: KEY)


def test_pauses_double_up_to_the_longest_and_hold_what_was_asked() -> None:
    for chance, share in ((0.0, 0.5), (1.0, 1.0)):
        backoff = Backoff(first_s=1.0, longest_s=10.0, chance=partial(float, chance))
        assert [backoff.pause_s() for _ in range(6)] == [share * pause for pause in (1, 2, 4, 8, 10, 10)]
        assert backoff.pause_s(100.0) == (100.0 if chance == 0 else 125.0)
        backoff.reset()
        assert backoff.pause_s() == share
        for _ in range(5000):
            assert backoff.pause_s() <= 10.0


def test_retry_after_in_all_its_forms() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    later = now + timedelta(seconds=90)
    assert retry_after_s(None) == 0.0
    assert retry_after_s(" 12 ") == 12.0
    assert retry_after_s("999999999") == 3600.0
    assert retry_after_s(later.strftime("%a, %d %b %Y %H:%M:%S GMT"), now) == 90.0
    assert retry_after_s(later.strftime("%a, %d %b %Y %H:%M:%S -0000"), now) == 90.0
    assert retry_after_s("Sat, 01 Jan 2000 00:00:00 GMT", now) == 0.0
    for nonsense in ("", "soon", "-3", "nan", "inf", "1e9"):
        assert retry_after_s(nonsense, now) == 0.0
