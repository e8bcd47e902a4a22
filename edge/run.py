"""Runs: stretches of frames that still have to be sent, and what is sent of them as one request."""

from __future__ import annotations

from dataclasses import dataclass

from edge.frame import Frame


@dataclass(frozen=True, order=True, slots=True)
class Run:
    """Frames that lie one behind the other in a segment and are not sent yet. Runs sort from old to new.

    Attributes:
        segment: the file's name.
        start, end: positions in the file.
        frames: how many.
        alone: never to be joined with a neighbour, for the platform refused them together.
    """

    segment: str
    start: int
    end: int
    frames: int
    alone: bool = False

    def joined(self, later: Run, most_frames: int) -> Run | None:
        """This run and the one behind it as one, or None where they are not to be joined."""
        touch = self.segment == later.segment and self.end == later.start
        if not touch or self.alone or later.alone or self.frames + later.frames > most_frames:
            return None
        return Run(self.segment, self.start, later.end, self.frames + later.frames)


@dataclass(frozen=True)
class Batch:
    """A run with its frames, ready to be sent."""

    run: Run
    vehicle_id: str
    frames: list[Frame]

    def halves(self) -> tuple[Run, Run]:
        """The run in two, of a batch with at least two frames."""
        run, count = self.run, len(self.frames) // 2
        middle = run.start + sum(frame.stored_bytes for frame in self.frames[:count])
        return (
            Run(run.segment, run.start, middle, count, alone=True),
            Run(run.segment, middle, run.end, run.frames - count, alone=True),
        )
