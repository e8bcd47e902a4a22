"""The spool against a model: written, handed out, sent, full, and killed in the middle of any write."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from edge_frames import Clock, Source
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.frame import Frame
from edge.run import Batch
from edge.spool import SMALLEST_BYTES, Spool

SIZES = st.sampled_from([1, 3, 40, 500])


class Machine(RuleBasedStateMachine):
    """`waiting` is what the spool must still hand out, `under_way` what it did; frames sort by their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="edge-spool-"))
        self.generation = 0
        self.clock = Clock()
        # Processes die here, not the kernel: what is written is there, and no sync is waited for.
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(os, "fsync", lambda fd: None)
        self.patch.setattr(os, "fdatasync", lambda fd: None)
        self.waiting: list[Frame] = []
        self.sent: set[Frame] = set()
        self.under_way: list[Batch] = []
        self.dropped = 0
        self.last_session = -1

    @property
    def directory(self) -> Path:
        return self.root / str(self.generation)

    @initialize(batch_frames=st.sampled_from([2, 100, 1000]))
    def start(self, batch_frames: int) -> None:
        self.batch_frames = batch_frames
        self.open()

    def open(self) -> None:
        self.spool = self.opened(self.directory)
        assert self.spool.session > self.last_session
        self.last_session = self.spool.session
        self.source = Source(self.spool, self.clock)
        self.dropped = 0

    def opened(self, directory: Path) -> Spool:
        return Spool(
            directory,
            "truck-7",
            max_bytes=SMALLEST_BYTES,
            batch_frames=self.batch_frames,
            clock=self.clock,
            wall_clock=self.clock,
        )

    @rule(count=SIZES)
    def write(self, count: int) -> None:
        self.waiting += self.source.write(count)
        self.forget_dropped()
        assert self.spool.size_bytes <= SMALLEST_BYTES

    def forget_dropped(self) -> None:
        lost = self.spool.counts.dropped - self.dropped
        self.dropped += lost
        del self.waiting[:lost]

    @rule(seconds=st.sampled_from([0.1, 2.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule(at_once=st.booleans())
    def take(self, at_once: bool) -> None:
        batch = self.spool.take(at_once=at_once)
        if batch is None:
            assert not at_once or not self.waiting
            return
        assert batch.vehicle_id == "truck-7"
        assert len(batch.frames) <= self.batch_frames
        if at_once:
            assert batch.frames == self.waiting[-len(batch.frames) :]
        first = self.waiting.index(batch.frames[0])
        assert self.waiting[first : first + len(batch.frames)] == batch.frames
        del self.waiting[first : first + len(batch.frames)]
        self.under_way.append(batch)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        batch = self.one_under_way(data)
        self.spool.sent(batch)
        self.sent |= set(batch.frames)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), split=st.booleans())
    def refuse(self, data: st.DataObject, split: bool) -> None:
        batch = self.one_under_way(data)
        if split and len(batch.frames) > 1:
            self.spool.split(batch)
        else:
            self.spool.give_back(batch)
        lost = self.spool.counts.dropped - self.dropped
        self.dropped += lost
        assert lost in (0, len(batch.frames))
        if not lost:
            self.waiting = sorted(self.waiting + batch.frames, key=number)

    def one_under_way(self, data: st.DataObject) -> Batch:
        return self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))

    @rule(count=SIZES, data=st.data())
    def kill(self, count: int, data: st.DataObject) -> None:
        """The process dies in a write: the first few of its bytes are there, or all, or garbage behind them."""
        before = {path.name: path.stat().st_size for path in self.directory.glob("*.spool")}
        last = self.source.write(count)
        self.waiting += last
        self.forget_dropped()
        files = sorted(self.directory.glob("*.spool"))
        written = [path.name for path in files if path.stat().st_size != before.get(path.name)]
        cut_in = data.draw(st.sampled_from(written))
        whole = (self.directory / cut_in).read_bytes()
        cut_at = data.draw(st.integers(before.get(cut_in, 0), len(whole)))
        tail = data.draw(st.sampled_from([b"", bytes(7), bytes(500), b"\xff" * 20]))
        abandoned = self.directory
        self.generation += 1
        shutil.copytree(abandoned, self.directory)
        for name in written[written.index(cut_in) + 1 :]:
            (self.directory / name).unlink()
        (self.directory / cut_in).write_bytes(whole[:cut_at] + tail)
        self.spool.close()
        shutil.rmtree(abandoned)
        may_miss = set(last)
        must = {frame for frame in self.still_to_come() if frame not in may_miss}
        self.reopened(must, set(self.still_to_come()) | self.sent)

    @rule()
    def restart(self) -> None:
        """A clean end: nothing is torn, and segments that were sent whole are gone."""
        expected = set(self.still_to_come())
        self.spool.close()
        self.reopened(expected, expected | self.sent)

    def still_to_come(self) -> list[Frame]:
        """What waits, and what was handed out and not dropped since."""
        there = {path.name for path in self.directory.glob("*.spool")}
        handed_out = [frame for batch in self.under_way if batch.run.segment in there for frame in batch.frames]
        return self.waiting + handed_out

    def reopened(self, must: set[Frame], may: set[Frame]) -> None:
        self.under_way = []
        shutil.copytree(self.directory, self.root / "copy")
        with self.opened(self.root / "copy") as copy:
            found = everything(copy)
            assert copy.counts.dropped == copy.counts.unreadable == 0
        shutil.rmtree(self.root / "copy")
        assert must <= set(found) <= may
        assert len(set(found)) == len(found)
        self.waiting = sorted(found, key=number)
        self.open()

    @invariant()
    def counts_every_byte(self) -> None:
        if hasattr(self, "spool"):
            files = sum(path.stat().st_size for path in self.directory.glob("*.spool"))
            assert files == self.spool.size_bytes

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            assert sorted(everything(self.spool), key=number) == self.waiting
            self.spool.close()
        self.patch.undo()
        shutil.rmtree(self.root)


def number(frame: Frame) -> tuple[int, int]:
    return frame.session, frame.sequence


def everything(spool: Spool) -> list[Frame]:
    """Hand out and send all there is; the batches go from new to old."""
    found: list[Frame] = []
    oldest: tuple[int, int] | None = None
    while (batch := spool.take(at_once=True)) is not None:
        assert oldest is None or number(batch.frames[-1]) < oldest
        oldest = number(batch.frames[0])
        found += batch.frames
        spool.sent(batch)
    assert spool.empty
    return found


Machine.TestCase.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSpoolAgainstModel = Machine.TestCase
