"""A gateway of a fleet: it gathers the frames of its vehicles and sends them as Arrow, once a second."""

from __future__ import annotations

import time
from typing import Final

import gevent
from locust import task

from loadtest.pace import Ticks
from loadtest.user import Ask, CanfleetUser
from simulator.body import bodies
from simulator.sender import ARROW_STREAM

PERIOD_S: Final = 1.0
MOST_FRAMES: Final = 10_000
"""Of one request."""
HEADERS: Final = {"Content-Type": ARROW_STREAM}


class Gateway(CanfleetUser):
    """One gateway. Its schedule is an open loop: it does not wait for answers, unless `concurrency` are missing."""

    abstract = True
    kind = "batches"

    def on_start(self) -> None:
        """Begin to drive now."""
        now = time.time()
        self._ticks = Ticks.of_user(self.number, now, PERIOD_S)
        self._frames = self.fleet("gateway", self.options.vehicles_per_user, now)

    @task
    def moment(self) -> None:
        """Send what has been gathered, when it is due."""
        due = self._ticks.after(time.time())
        gevent.sleep(due - time.time())
        for body in bodies(self._frames.tick(round(due * 1e6)), MOST_FRAMES):
            self.tally.due += body.frames
            ask = Ask("POST", "/v1/frames", "/v1/frames Arrow", body.content, HEADERS, body.frames)
            self.watched(self.sending.spawn(self.deliver_frames, ask, due))
