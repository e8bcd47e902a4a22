"""What the spool still holds for the platform: segments, and in them the runs that were not sent. In memory alone."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from edge.run import Run


@dataclass
class Segment:
    """A segment file as the spool knows it.

    Attributes:
        vehicle_id, session: whose frames it holds.
        size_bytes: what counts against the spool's bound.
        left: frames not sent yet, those under way included.
        under_way: frames handed out and neither sent nor given back.
        growing: whether it is still written to.
        unreadable: whether nobody knows what is in it.
    """

    vehicle_id: str
    session: int
    size_bytes: int
    left: int = 0
    under_way: int = 0
    growing: bool = False
    unreadable: bool = False


@dataclass
class Unsent:
    """The runs that wait, and the segments they lie in. Not for several threads at once.

    Attributes:
        most_frames: neighbouring runs are joined up to so many frames, so that a long outage at a slow bus does not
            become a request a second.
    """

    most_frames: int
    segments: dict[str, Segment] = field(default_factory=dict)
    _runs: list[Run] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Frames in waiting runs."""
        return sum(run.frames for run in self._runs)

    @property
    def waiting(self) -> bool:
        """Whether any run waits."""
        return bool(self._runs)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size_bytes for segment in self.segments.values())

    def add(self, run: Run) -> None:
        """Let a run wait that was not known before; its segment is."""
        self.segments[run.segment].left += run.frames
        self._insert(run)

    def take(self) -> Run | None:
        """Hand out the newest run; `sent`, `give_back` or `split` ends that."""
        if not self._runs:
            return None
        run = self._runs.pop()
        self.segments[run.segment].under_way += run.frames
        return run

    def give_back(self, run: Run) -> bool:
        """Let a run wait again that was handed out; False where its segment has been dropped meanwhile."""
        return self._returned(run, (run,))

    def split(self, run: Run, halves: tuple[Run, Run]) -> bool:
        """Let a run wait again in two parts; False where its segment has been dropped meanwhile."""
        return self._returned(run, halves)

    def set_aside(self, run: Run) -> None:
        """Neither hand out again a run that was handed out, nor call it sent: its file cannot be read."""
        self._returned(run, ())

    def sent(self, run: Run) -> bool:
        """Forget a run that was handed out; whether that leaves its segment without a use."""
        segment = self.segments.get(run.segment)
        if segment is None:
            return False
        segment.under_way -= run.frames
        segment.left -= run.frames
        return self.is_useless(run.segment)

    def is_useless(self, name: str) -> bool:
        """Whether all of a segment is sent and nothing will be added to it."""
        segment = self.segments[name]
        return segment.left == 0 and not segment.growing and not segment.unreadable

    def oldest(self) -> str | None:
        """The oldest segment that is not written to any more."""
        return min((name for name, segment in self.segments.items() if not segment.growing), default=None)

    def drop(self, name: str) -> int:
        """Forget a segment and its runs; how many of its frames are lost. Those under way may yet arrive."""
        segment = self.segments.pop(name)
        first = bisect_left(self._runs, name, key=lambda run: run.segment)
        last = bisect_left(self._runs, name + "\0", key=lambda run: run.segment)
        del self._runs[first:last]
        return segment.left - segment.under_way

    def _returned(self, run: Run, parts: tuple[Run, ...]) -> bool:
        segment = self.segments.get(run.segment)
        if segment is None:
            return False
        segment.under_way -= run.frames
        for part in parts:
            self._insert(part)
        return True

    def _insert(self, run: Run) -> None:
        insort(self._runs, run)
        at = bisect_left(self._runs, run)
        for left in (at, at - 1):
            if 0 <= left < len(self._runs) - 1:
                joined = self._runs[left].joined(self._runs[left + 1], self.most_frames)
                if joined is not None:
                    self._runs[left : left + 2] = [joined]
