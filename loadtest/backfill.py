"""Vehicles that come home and upload yesterday's drive, which must not get in the way of what is live."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

import gevent
from locust import constant_pacing, task

from loadtest.fleets import drives
from loadtest.gateway import HEADERS
from loadtest.user import Ask, CanfleetUser
from simulator.body import Body

DRIVE_S: Final = 600.0
AGE_S: Final = 86_400.0
AT_ONCE: Final = 4
"""Vehicles whose drives are made together."""
LANE: Final = {"X-Canfleet-Lane": "backfill", "Content-Encoding": "zstd"}


class Backfill(CanfleetUser):
    """One drive after the other, each of a vehicle that nobody has heard of, a request a second."""

    abstract = True
    kind = "backfill"
    wait_time = constant_pacing(1.0)

    def on_start(self) -> None:
        """Have no drives yet."""
        self._drives: deque[Body] = deque()
        self._made = 0

    @task
    def upload(self) -> None:
        """Upload a vehicle's drive, and wait until it is acknowledged."""
        if not self._drives:
            fleet = self.fleet(f"backfill-{self._made}", AT_ONCE, time.time() - AGE_S)
            self._made += 1
            # In a thread: it takes milliseconds, which would count as the latency of others.
            self._drives.extend(gevent.get_hub().threadpool.apply(drives, (fleet, DRIVE_S)))
        body = self._drives.popleft()
        self.tally.due += body.frames
        ask = Ask("POST", "/v1/frames", "/v1/frames backfill", body.content, HEADERS | LANE, body.frames)
        self.apart(self.deliver_frames, ask, time.time())
