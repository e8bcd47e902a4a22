"""Vehicles that send for themselves: a few frames at a time, as NDJSON, over connections that they keep."""

from __future__ import annotations

import time
from typing import ClassVar, Final

import gevent
from locust import task

from loadtest.pace import Ticks, Tunnel
from loadtest.spools import Spools
from loadtest.user import Ask, CanfleetUser, timed

PERIOD_S: Final = 0.1
HEADERS: Final = {"Content-Type": "application/x-ndjson"}


class Vehicles(CanfleetUser):
    """Many vehicles, so that making their frames costs little. They share `concurrency` connections.

    Attributes:
        enough, most: frames a vehicle gathers before it sends, and the most of one request.
        tunnel: when they all have no connection, in seconds since this user began.
    """

    abstract = True
    kind = "single"
    concurrency = 50
    enough: ClassVar[int] = 10
    most: ClassVar[int] = 10
    tunnel = Tunnel(0.0, 0.0)

    def on_start(self) -> None:
        """Begin to drive now."""
        self._began = now = time.time()
        self._ticks = Ticks.of_user(self.number, now, PERIOD_S)
        self._frames = self.fleet(self.kind, self.options.vehicles_per_user, now)
        self._spools = Spools(self.options.vehicles_per_user, self.enough, self.most)

    @task
    def moment(self) -> None:
        """Gather what came meanwhile, and send for each vehicle that has enough."""
        now = time.time()
        back = self.tunnel.back_at(now - self._began)
        due = self._ticks.after(now) if back is None else self._began + back
        gevent.sleep(due - now)
        self._spools.add(self._frames.tick(round(due * 1e6)), due)
        if back is not None:
            self._spools.release(due)
        ready = self._spools.ready()
        senders = [self.watched(self.sending.spawn(self._send, vehicle)) for vehicle in ready]
        if back is not None:
            self.watched(gevent.spawn(self._all_back, senders))

    def _send(self, vehicle: int) -> None:
        while (taken := self._spools.take(vehicle, time.time())) is not None:
            self.tally.due += taken.frames
            ask = Ask("POST", "/v1/frames", "/v1/frames NDJSON", taken.body, HEADERS, taken.frames)
            self.deliver_frames(ask, taken.ready_s)
            self._spools.finished(vehicle)

    def _all_back(self, senders: list[gevent.Greenlet]) -> None:
        with timed(self, "storm", "from the first spool to the last"):
            gevent.joinall(senders)
