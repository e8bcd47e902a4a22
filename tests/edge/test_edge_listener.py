"""The listener on python-can's virtual bus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

import can
import pytest
from edge_frames import START_S, Clock, numbers
from hypothesis import given
from hypothesis import strategies as st

from edge.agent import Agent
from edge.bus import BusSettings
from edge.delivery import Delivery
from edge.errors import BusError, SpoolError
from edge.frame import Frame, channel_number
from edge.listener import CanfleetListener
from edge.rejected import Rejected
from edge.spool import Spool
from edge.uploader import Uploader

PATIENCE_S = 60.0


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path, "truck-7") as opened:
        yield opened


@pytest.fixture
def buses(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    name = request.node.name
    with (
        can.Bus(interface="virtual", channel=name) as vehicle,
        can.Bus(interface="virtual", channel=name) as ours,
    ):
        yield vehicle, ours


def taken_of(spool: Spool) -> list[Frame]:
    found: list[Frame] = []
    while (batch := spool.take(at_once=True)) is not None:
        found += batch.frames
        spool.sent(batch)
    return sorted(found, key=lambda frame: frame.sequence)


def message(data: bytes = b"", **more: Any) -> can.Message:
    return can.Message(arbitration_id=0x123, data=data, is_extended_id=False, **more)


def test_frames_of_a_bus_are_taken_in_order(spool: Spool, buses: tuple[Any, Any]) -> None:
    vehicle, ours = buses
    seen: list[Frame] = []
    last = Event()

    def on_taken(frames: Sequence[Frame]) -> None:
        seen.extend(frames)
        if len(seen) == 300:
            last.set()

    listener = CanfleetListener(spool, sync_interval_s=0.01, on_taken=on_taken)
    with can.Notifier(ours, [listener], timeout=0.05):
        for number in range(300):
            extended = number % 3 == 0
            vehicle.send(
                can.Message(
                    arbitration_id=number * 5 if not extended else number * 50_000,
                    is_extended_id=extended,
                    data=number.to_bytes(2, "big") * (number % 5),
                    is_fd=number % 2 == 0,
                )
            )
        assert last.wait(PATIENCE_S)
    taken = taken_of(spool)
    assert taken == seen
    assert numbers(taken) == [(spool.session, number) for number in range(300)]
    for number, frame in enumerate(taken):
        extended = number % 3 == 0
        assert frame.is_extended == extended
        assert frame.arbitration_id == (number * 50_000 if extended else number * 5)
        assert frame.data == number.to_bytes(2, "big") * (number % 5)
    assert (listener.counts.received, listener.counts.taken, listener.counts.missed) == (300, 300, 0)


def test_stopping_writes_what_is_in_memory(spool: Spool) -> None:
    listener = CanfleetListener(spool, sync_interval_s=3600.0)
    for _ in range(1200):
        listener(message())
    assert listener.counts.taken == 0
    listener.stop()
    listener.stop()
    assert not listener.alive
    assert len(taken_of(spool)) == listener.counts.taken == 1200
    listener(message())
    assert listener.counts.missed == 1


class StuckSpool(Spool):
    """Its disk takes as long as the test wants."""

    busy = Event()
    free = Event()

    def write(self, frames: Sequence[Frame]) -> None:
        self.busy.set()
        assert self.free.wait(PATIENCE_S)
        super().write(frames)


def test_what_memory_cannot_hold_is_counted_and_leaves_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with StuckSpool(tmp_path, "truck-7") as spool:
        listener = CanfleetListener(spool, queue_frames=4, sync_interval_s=0.01)
        listener(message())
        assert spool.busy.wait(PATIENCE_S)
        for _ in range(7):
            listener(message())
        assert listener.counts.missed == 3
        spool.free.set()
        listener.stop()
        listener_counts = listener.counts
        assert (listener_counts.received, listener_counts.taken) == (8, 5)
        assert [frame.sequence for frame in taken_of(spool)] == [0, 1, 2, 3, 4]
    assert "memory is full" in caplog.text


class BrokenSpool(Spool):
    """Its disk fails while `broken`."""

    broken = True
    refused = Event()

    def write(self, frames: Sequence[Frame]) -> None:
        if self.broken:
            self.refused.set()
            raise SpoolError("the disk is full")
        super().write(frames)


def test_what_the_disk_refuses_is_counted_and_leaves_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = Event()
    with BrokenSpool(tmp_path, "truck-7") as spool:
        listener = CanfleetListener(spool, sync_interval_s=0.001, on_taken=lambda _: written.set())
        for _ in range(3):
            BrokenSpool.refused.clear()
            listener(message())
            assert spool.refused.wait(PATIENCE_S)
        spool.broken = False
        listener(message())
        assert written.wait(PATIENCE_S)
        listener.stop()
        assert (listener.counts.received, listener.counts.taken, listener.counts.missed) == (4, 1, 3)
        assert [frame.sequence for frame in taken_of(spool)] == [3]
    assert caplog.text.count("frames are not taken from 0 on: the disk is full") == 1
    assert caplog.text.count("frames are taken again from 3 on") == 1


def test_messages_without_data_are_no_frames(spool: Spool) -> None:
    listener = CanfleetListener(spool)
    for extra in ({"is_error_frame": True}, {"is_remote_frame": True, "dlc": 4}, {}):
        listener(message(**extra))
    listener.stop()
    assert listener.counts.skipped == 2
    assert [frame.sequence for frame in taken_of(spool)] == [0]


def test_a_time_that_is_none_becomes_the_time_of_arrival(spool: Spool) -> None:
    listener = CanfleetListener(spool, wall_clock=Clock())
    for timestamp in (0.0, 12.5, START_S + 0.000_001):
        listener(message(timestamp=timestamp))
    listener.stop()
    now_us = round(START_S * 1e6)
    assert [frame.timestamp_us for frame in taken_of(spool)] == [now_us, now_us, now_us + 1]


@pytest.mark.parametrize(
    ("name", "number"), [("can0", 0), ("can3", 3), (2, 2), ("2", 2), (None, 0), ("PCAN_USBBUS1", 1), ("can256", 0)]
)
def test_the_channel_is_told_from_its_name(name: object, number: int) -> None:
    assert channel_number(name) == number


def test_a_given_channel_is_taken(spool: Spool) -> None:
    listener = CanfleetListener(spool, channel=9)
    listener(message(channel="can1"))
    listener.stop()
    assert [frame.channel for frame in taken_of(spool)] == [9]


FRAMES = st.builds(
    Frame,
    st.integers(0, 2**63),
    st.integers(0, 2**29 - 1),
    st.booleans(),
    st.integers(0, 255),
    st.binary(max_size=64),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
)


@given(FRAMES)
def test_packing_keeps_a_frame(frame: Frame) -> None:
    packed = frame.pack()
    assert Frame.unpack(packed, frame.session) == frame
    assert len(packed) + 8 == frame.stored_bytes


def test_a_bus_that_is_not_there(tmp_path: Path) -> None:
    for settings in (BusSettings("socketcan", "nocan0", fd=True), BusSettings("nonesuch", "x", bitrate=500_000)):
        with pytest.raises(BusError, match="cannot be opened"):
            settings.open()


class LooseBus(BusSettings):
    """A virtual bus whose plug falls out when `pull` is set: the driver then raises, and opening fails once."""

    pull = Event()
    opened = Event()
    opened_again = Event()
    refusals = 1

    def open(self) -> Any:
        if self.pull.is_set() and LooseBus.refusals:
            LooseBus.refusals -= 1
            raise BusError("no such device")
        bus = can.Bus(interface=self.interface, channel=self.channel)
        if self.pull.is_set():
            self.opened_again.set()
        else:
            receive = bus.recv

            def recv(timeout: float | None = None) -> can.Message | None:
                if self.pull.is_set():
                    raise can.CanOperationError("no such device")
                return receive(timeout)

            bus.recv = recv
        self.opened.set()
        return bus


def test_a_bus_that_fails_is_opened_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    taken, stop = Event(), Event()
    with Spool(tmp_path, "truck-7") as spool, can.Bus(interface="virtual", channel="loose") as vehicle:
        listener = CanfleetListener(spool, on_taken=lambda _: taken.set())
        uploader = Uploader(spool, Delivery("http://127.0.0.1:9", lambda: "key"), Rejected(tmp_path))
        agent = Agent(LooseBus("virtual", "loose"), listener, uploader, spool, drain_s=0.0)

        def send_until_taken() -> None:
            taken.clear()
            while not taken.wait(0.01):
                vehicle.send(message())

        def drive() -> None:
            assert LooseBus.opened.wait(PATIENCE_S)
            send_until_taken()
            LooseBus.pull.set()
            # Frames from before the failure may still be on their way to the disk until then.
            assert LooseBus.opened_again.wait(PATIENCE_S)
            send_until_taken()
            stop.set()

        driver = Thread(target=drive)
        driver.start()
        assert agent.run(stop) is False
        driver.join()
        counts = agent.counts()
    assert counts["received"] == counts["taken"] > 1
    assert counts["missed"] == 0
    assert caplog.text.count("opening it again") == 1


def test_the_bus_must_be_there_at_the_start(tmp_path: Path) -> None:
    with Spool(tmp_path, "truck-7") as spool:
        listener = CanfleetListener(spool)
        uploader = Uploader(spool, Delivery("http://127.0.0.1:9", lambda: "key"), Rejected(tmp_path))
        with pytest.raises(BusError):
            Agent(BusSettings("nonesuch", "x"), listener, uploader, spool).run(Event())
        assert not listener.alive
        uploader.stop()
