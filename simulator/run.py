"""A fleet in real time: make the frames of the next moment while the last ones are sent, on schedule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from simulator.body import Body, bodies
from simulator.fleet import Fleet
from simulator.sender import Results, Sender

_LONGEST_TICK_S: Final = 0.2
_SHORTEST_TICK_S: Final = 0.005


async def run_fleet(
    fleet: Fleet,
    sender: Sender,
    *,
    duration_s: float,
    frames_per_s: float,
    batch: int = 5_000,
    zstd: bool = False,
    stop: asyncio.Event | None = None,
    progress: Callable[[float, Results], None] | None = None,
) -> Results:
    """Send what the fleet makes, each moment's frames when that moment has passed; returns when all is settled.

    A moment is as long as `batch` frames take, 200 ms at most, so a full request goes out as soon as it is full.
    The schedule is an open loop: it never waits for answers, unless the sender's queue is full. Frames are made one
    moment ahead in a thread of their own, so that making them delays no acknowledgement.

    Args:
        fleet: started (`start_us`) about now, with no frame taken yet.
        sender: opened.
        duration_s: seconds of traffic; 0 for no end.
        frames_per_s: of the whole fleet.
        batch: most frames of a request.
        zstd: compress bodies.
        stop: ends the run early when set.
        progress: called after every moment with the seconds since the start.

    Raises:
        CanfleetError: the server refused a body for good.
    """
    loop = asyncio.get_running_loop()
    stop = stop or asyncio.Event()
    tick_s = min(max(batch / frames_per_s, _SHORTEST_TICK_S), _LONGEST_TICK_S)
    began = loop.time() + (fleet.start_us - time.time_ns() // 1_000) * 1e-6
    end_s = duration_s if duration_s > 0 else float("inf")

    def make(until_s: float) -> list[Body]:
        return list(bodies(fleet.tick(fleet.start_us + round(until_s * 1e6)), batch, zstd=zstd))

    with ThreadPoolExecutor(1, "fleet") as executor:
        number = 1
        until_s = min(tick_s, end_s)
        coming = loop.run_in_executor(executor, make, until_s)
        while True:
            ready = await coming
            due = began + until_s
            last = until_s >= end_s
            number += 1
            after_s = min(number * tick_s, end_s)
            if not last:
                coming = loop.run_in_executor(executor, make, after_s)
            if await _reached(due, stop):
                # What is made is part of the truth already, so it is sent, and what is being made too.
                for body in ready if last else ready + await coming:
                    await sender.submit(body)
                break
            for body in ready:
                await sender.submit(body, due)
            if progress is not None:
                progress(until_s, sender.results)
            if last:
                break
            until_s = after_s
    for body in bodies(fleet.drain(), batch, zstd=zstd):
        await sender.submit(body)
    return await sender.finish()


async def _reached(due: float, stop: asyncio.Event) -> bool:
    """Wait until the loop's clock shows `due`; True if `stop` was set before."""
    wait = due - asyncio.get_running_loop().time()
    if wait <= 0:
        return stop.is_set()
    try:
        await asyncio.wait_for(stop.wait(), wait)
    except TimeoutError:
        return False
    return True
