"""The line to one partition actor: refuses at once while the actor is away, and finds out by itself when it is back.

An actor is away when its process is gone, which Ray says of a call, or when it hangs, which nobody says. So while calls
wait and none has been answered for `QUIET_S`, the line pings; an actor that is merely slow answers a ping, since that
touches neither its journal nor its threads. The first of Ray's words, or three pings in vain, open a circuit breaker.
Then every call under way is given up, calls to come are refused before they are made, and one ping at a time looks for
the actor's return.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

from pipeline.breaker import CircuitBreaker, State
from pipeline.errors import PartitionAway

_T = TypeVar("_T")
_log: Final = logging.getLogger("canfleet.actors")

QUIET_S: Final = 0.5
"""So long may calls wait without any answer before the actor is pinged."""
PING_S: Final = 0.8
"""So long may the answer to a ping take. After three that were not answered, 2.9 s in all, an actor counts as hung."""
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 1.0
"""Between the pings that look for an actor's return, which cost a millisecond."""


class Line:
    """Calls to one partition actor. One event loop."""

    def __init__(self, shard: int, ping: Callable[[], Awaitable[object]]) -> None:
        """A closed breaker before the actor of `shard`.

        Args:
            shard: its number.
            ping: asks for a sign of life; raises PartitionAway where the actor is known to be gone.
        """
        self._shard = shard
        self._named = {"shard": f"shard-{shard}"}
        self._ping = ping
        self._breaker = CircuitBreaker(_now, first_pause_s=FIRST_PAUSE_S, longest_pause_s=LONGEST_PAUSE_S)
        self._calls: set[asyncio.Future[Any]] = set()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._patient: set[asyncio.Future[Any]] = set()
        self._heard_at = 0.0
        self._watching: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """Of its breaker."""
        return self._breaker.state

    @property
    def away(self) -> bool:
        """Whether calls are refused."""
        return self._breaker.state is not State.CLOSED

    def check(self) -> None:
        """Raise PartitionAway where a call would be refused."""
        if self.away:
            self._watch()
            raise self._refusal("has not answered lately")

    async def ask(self, call: Callable[[], Awaitable[_T]], timeout_s: float, *, patient: bool = False) -> _T:
        """Make a call, and await its answer.

        Args:
            call: makes it; raises PartitionAway where the actor is gone, anything else is an answer of the actor.
            timeout_s: how long the answer may take; less where the actor is found to be away meanwhile.
            patient: whether the actor takes its time on purpose, so that waiting says nothing about it.

        Raises:
            PartitionAway: it was refused, or nobody knows what became of it.
        """
        self.check()
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        made = asyncio.ensure_future(call())
        self._calls.add(made)
        made.add_done_callback(partial(self._answered, answer))
        waiting = self._patient if patient else self._waiting
        if not patient:
            if not waiting:
                self._heard_at = _now()
            self._watch()
        waiting.add(answer)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError as error:
            raise self._refusal(f"has not answered within {timeout_s:g} s") from error
        finally:
            waiting.discard(answer)

    def _answered(self, answer: asyncio.Future[_T], call: asyncio.Future[_T]) -> None:
        """Hand on what a call ended with, to a caller that may have been given up meanwhile, and learn from it."""
        self._calls.discard(call)
        if call.cancelled():
            answer.cancel()
            return
        error = call.exception()
        if isinstance(error, PartitionAway):
            # An old call says nothing new of an actor that is known to be away.
            if not self.away:
                self._failed(gone=True)
        else:
            self._heard()
        if answer.done():
            return
        if error is None:
            answer.set_result(call.result())
        else:
            answer.set_exception(error)

    def _heard(self) -> None:
        self._heard_at = _now()
        if self.away:
            _log.warning("shard %d answers again", self._shard, extra=self._named)
        self._breaker.succeeded()

    def _failed(self, *, gone: bool) -> None:
        before = self._breaker.state
        if gone:
            self._breaker.trip()
        else:
            self._breaker.failed()
        if before is State.CLOSED and self.away:
            what = "shard %d is away: requests for its vehicles are refused until it answers"
            _log.warning(what, self._shard, extra=self._named)
            for answer in [*self._waiting, *self._patient]:
                if not answer.done():
                    answer.set_exception(self._refusal("does not answer"))
            self._watch()

    def _watch(self) -> None:
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch_over())

    async def _watch_over(self) -> None:
        """Ping where nothing is heard, for as long as calls wait or the actor is away: one ping at a time."""
        try:
            while self._waiting or self.away:
                pause_s = self._breaker.wait_s() if self.away else self._heard_at + QUIET_S - _now()
                if pause_s > 0:
                    await asyncio.sleep(pause_s)
                elif self._breaker.allows():
                    await self._look()
        finally:
            self._watching = None

    async def _look(self) -> None:
        """One ping, and what it says."""
        began = _now()
        try:
            async with asyncio.timeout(PING_S):
                await self._ping()
        except (PartitionAway, TimeoutError) as error:
            # Answers to other calls may have come meanwhile.
            if self._heard_at <= began:
                self._failed(gone=isinstance(error, PartitionAway))
        else:
            self._heard()

    def _refusal(self, what: str) -> PartitionAway:
        return PartitionAway(f"shard {self._shard} {what}", 1.0)


def _now() -> float:
    """By the event loop's clock, which sleeps and timeouts go by too."""
    return asyncio.get_running_loop().time()
