"""A fleet's traffic made before it is sent, so that making it takes no CPU from what is measured."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from simulator.body import Body, bodies
from simulator.fleet import Fleet
from simulator.injections import Injections
from simulator.sender import Sender

_REHEARSAL_S = 1.0
_SPARE_S = 1.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent: frames per second, seconds, vehicles, and what goes wrong on purpose."""

    rate: float
    duration: float
    vehicles: int
    injections: Injections


class Recording:
    """Request bodies with the moments they are due, about 60 bytes a frame in memory.

    Attributes:
        fleet: what made them; it knows what it injected.
        sent_bytes: of all bodies together.
    """

    def __init__(self, traffic: Traffic, batch: int) -> None:
        """Make all of it, for a start a little after it is done. A second's worth is made before, to know how long."""
        began = time.monotonic()
        rehearsal = _fleet(traffic, time.time_ns() // 1000)
        list(_requests(rehearsal, traffic, batch, _REHEARSAL_S))
        ahead_s = 1.5 * (time.monotonic() - began) * traffic.duration / _REHEARSAL_S + _SPARE_S
        self.fleet = _fleet(traffic, time.time_ns() // 1000 + round(ahead_s * 1e6))
        self._requests = deque(_requests(self.fleet, traffic, batch, traffic.duration))
        self.sent_bytes = sum(len(body.content) for _, body in self._requests)

    def starts_in_s(self) -> float:
        """Seconds until the first frame's time; negative once it has passed."""
        return self.fleet.start_us * 1e-6 - time.time()

    def requests(self) -> Iterator[tuple[float, Body]]:
        """Take the requests one by one: seconds after the start when each is due, and its body."""
        while self._requests:
            yield self._requests.popleft()

    async def send(self, sender: Sender) -> None:
        """Hand each body to `sender` when it is due, whatever the answers; returns when all are acknowledged.

        Raises:
            CanfleetError: the server refused a body for good.
        """
        clock = asyncio.get_running_loop().time
        start = clock() + self.starts_in_s()
        for after_s, body in self.requests():
            due = start + after_s
            await asyncio.sleep(max(0.0, due - clock()))
            await sender.submit(body, due)
        await sender.finish()


def _fleet(traffic: Traffic, start_us: int) -> Fleet:
    return Fleet(traffic.vehicles, traffic.rate / traffic.vehicles, injections=traffic.injections, start_us=start_us)


def _requests(fleet: Fleet, traffic: Traffic, batch: int, duration_s: float) -> list[tuple[float, Body]]:
    """Seconds after the start, and the body of the frames that were made until then. The last ones were held back."""
    # Second sendings come on top of the rate: with moments a little shorter they still fit into one request.
    moment_s = batch / (traffic.rate * (1.0 + 3.0 * traffic.injections.duplicates))
    made: list[tuple[float, Body]] = []
    for number in range(1, math.ceil(duration_s / moment_s) + 1):
        after_s = min(number * moment_s, duration_s)
        made += [(after_s, body) for body in bodies(fleet.tick(fleet.start_us + round(after_s * 1e6)), batch)]
    return made + [(duration_s, body) for body in bodies(fleet.drain(), batch)]
