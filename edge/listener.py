"""A python-can listener that numbers frames and takes them: writes them durably to the spool.

A frame is *taken* once it is synced to the spool's disk, a fifth of a second after it came; from then on it is not lost
to a crash or a power cut. Every frame gets its number when it comes, so one that could not be taken, because memory or
disk were full, leaves a gap in the sequence that the platform sees.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final

import can

from edge.errors import SpoolError
from edge.frame import Frame, channel_number
from edge.spool import Spool

_LOG: Final = logging.getLogger(__name__)
_WRITE_FRAMES: Final = 500
_BUS_PAUSE_S: Final = 1.0


@dataclass
class ListenerCounts:
    """What became of the messages of the bus.

    Attributes:
        received: frames that were numbered; taken, missed and those still in memory together.
        taken: frames durably in the spool.
        missed: frames lost because memory was full, the disk failed, or the listener had stopped.
        skipped: error frames and remote frames, which carry no data and are not numbered.
    """

    received: int = 0
    taken: int = 0
    missed: int = 0
    skipped: int = 0


class CanfleetListener(can.Listener):
    """Give it to a `can.Notifier`, and stop that before the spool is closed.

    One notifier calls it, from one thread at a time; it never waits. `stop`, which the notifier calls, writes what is
    still in memory.

    Attributes:
        counts: see `ListenerCounts`.
        bus_failed: set when the bus raised an error; `bus_error` is the last one.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        channel: int | None = None,
        queue_frames: int = 32_768,
        sync_interval_s: float = 0.2,
        on_taken: Callable[[Sequence[Frame]], None] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Start the thread that writes.

        Args:
            spool: where frames go; nobody else writes to it.
            channel: the number of every frame's bus, 0–255; None tells it from the end of python-can's channel name.
            queue_frames: most frames in memory, for the time that a sync of the disk takes.
            sync_interval_s: frames are written and synced once in so many seconds.
            on_taken: called from the writing thread with frames that have just become durable.
            wall_clock: seconds since 1970, for frames whose interface does not tell them.
        """
        self.counts = ListenerCounts()
        self.bus_failed = Event()
        self.bus_error: Exception | None = None
        self._spool = spool
        self._channel = channel
        self._queue_frames = queue_frames
        self._interval_s = sync_interval_s
        self._on_taken = on_taken
        self._wall_clock = wall_clock
        # A deque's append waits for nobody, which a queue's put may.
        self._queue: deque[tuple[int, can.Message]] = deque()
        self._wake = Event()
        self._stopping = Event()
        self._disk_failed = False
        self._thread = Thread(target=self._write_until_stopped, name="canfleet-spool", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether frames are being written."""
        return self._thread.is_alive()

    def on_message_received(self, msg: can.Message) -> None:
        """Number a message and keep it for the writing thread; never waits."""
        counts = self.counts
        if msg.is_error_frame or msg.is_remote_frame:
            counts.skipped += 1
            return
        sequence = counts.received
        counts.received += 1
        waiting = len(self._queue)
        if waiting >= self._queue_frames or self._stopping.is_set():
            self._miss_one(sequence)
            return
        self._queue.append((sequence, msg))
        if waiting == self._queue_frames // 2:
            self._wake.set()

    def on_error(self, exc: Exception) -> None:
        """Note that the bus failed, and keep the notifier from asking it again for a second."""
        self.bus_error = exc
        self.bus_failed.set()
        self._stopping.wait(_BUS_PAUSE_S)

    def stop(self) -> None:
        """Write what is in memory and end the thread; a second time does nothing."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _miss_one(self, sequence: int) -> None:
        # Powers of two: the log tells of a bus that is too fast without being flooded by it.
        self.counts.missed += 1
        if self.counts.missed & (self.counts.missed - 1) == 0:
            _LOG.warning("frame %d was not taken: memory is full (%d missed so far)", sequence, self.counts.missed)

    def _write_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._interval_s)
            if not self._stopping.is_set():
                self._wake.clear()
            self._write_queue()
        self._write_queue()

    def _write_queue(self) -> None:
        for _ in range(0, len(self._queue), _WRITE_FRAMES):
            count = min(_WRITE_FRAMES, len(self._queue))
            self._write([self._frame(*self._queue.popleft()) for _ in range(count)])

    def _frame(self, sequence: int, message: Any) -> Frame:  # noqa: ANN401 - python-can is untyped here
        channel = channel_number(message.channel) if self._channel is None else self._channel
        return Frame.of_message(message, self._spool.session, sequence, channel, self._wall_clock())

    def _write(self, frames: list[Frame]) -> None:
        try:
            self._spool.write(frames)
        except SpoolError as error:
            self.counts.missed += len(frames)
            if not self._disk_failed:
                _LOG.error("frames are not taken from %d on: %s", frames[0].sequence, error)
            self._disk_failed = True
            return
        if self._disk_failed:
            _LOG.warning("frames are taken again from %d on", frames[0].sequence)
        self._disk_failed = False
        self.counts.taken += len(frames)
        if self._on_taken is not None:
            self._on_taken(frames)
