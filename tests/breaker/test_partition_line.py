"""The line to a partition actor, in virtual time: an actor that dies, hangs, is slow, or comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run

from actors.line import LONGEST_PAUSE_S, PING_S, QUIET_S, Line
from pipeline.breaker import FAILURES, State
from pipeline.errors import JournalError, Overloaded, PartitionAway

DISCOVERY_S = QUIET_S + FAILURES * PING_S
TIMEOUT_S = 20.0


class Actor:
    """What stands at the other end: alive, gone (every call fails at once), or hung (no call is answered)."""

    def __init__(self) -> None:
        self.gone = False
        self.running = asyncio.Event()
        self.running.set()
        self.pings = self.pinging = self.calls = 0
        self.line = Line(1, self.ping)

    async def ping(self) -> None:
        self.pings += 1
        self.pinging += 1
        assert self.pinging == 1, "one ping at a time"
        try:
            await self._answer()
        finally:
            self.pinging -= 1

    def call(self, takes_s: float = 0.01, *, error: Exception | None = None) -> Callable[[], Awaitable[str]]:
        async def calling() -> str:
            self.calls += 1
            await self._answer()
            await asyncio.sleep(takes_s)
            await self._answer()
            if error:
                raise error
            return "done"

        return calling

    async def ask(self, takes_s: float = 0.01, **more: Any) -> tuple[str, float]:
        """What a call came to, and how long that took."""
        began = asyncio.get_running_loop().time()
        try:
            result = await self.line.ask(self.call(takes_s), TIMEOUT_S, **more)
        except PartitionAway:
            result = "away"
        return result, asyncio.get_running_loop().time() - began

    async def _answer(self) -> None:
        await self.running.wait()
        if self.gone:
            raise PartitionAway("ActorDiedError")


def test_a_call_to_a_hung_actor_is_given_up_and_the_next_ones_are_refused_without_waiting() -> None:
    async def story() -> None:
        actor = Actor()
        actor.running.clear()
        first = await asyncio.gather(*(actor.ask() for _ in range(10)))
        assert {result for result, _ in first} == {"away"}
        assert max(waited for _, waited in first) == pytest.approx(DISCOVERY_S)
        made = actor.calls
        for _ in range(100):
            assert await actor.ask() == ("away", 0.0)
        assert actor.calls == made, "a call that is refused is not made"
        with pytest.raises(PartitionAway, match=r"shard 1 .*answer") as refused:
            actor.line.check()
        assert refused.value.retry_after_s == 1.0

    run(story())


def test_a_long_poll_ends_with_the_line_and_wakes_no_watch_by_itself() -> None:
    async def story() -> None:
        actor = Actor()
        actor.running.clear()
        poll = asyncio.create_task(actor.ask(patient=True))
        await asyncio.sleep(10)
        assert actor.pings == 0
        assert (await actor.ask())[0] == "away"
        assert (await poll)[0] == "away"

    run(story())


def test_its_return_is_found_without_a_request_and_by_one_ping_at_a_time() -> None:
    async def story() -> None:
        actor = Actor()
        actor.running.clear()
        await actor.ask()
        await asyncio.sleep(60)
        assert actor.line.away
        asked = actor.pings
        assert 60 / (PING_S + LONGEST_PAUSE_S) <= asked <= 60 / (PING_S + LONGEST_PAUSE_S) + 8
        actor.running.set()
        await asyncio.sleep(LONGEST_PAUSE_S + 0.1)
        assert not actor.line.away
        assert (await actor.ask())[0] == "done"
        await asyncio.sleep(60)
        assert actor.pings <= asked + 1, "nobody pings an actor that nobody waits for"

    run(story())


def test_a_late_answer_of_a_call_that_was_given_up_closes_the_line_at_once() -> None:
    async def story() -> None:
        actor = Actor()
        actor.running.clear()
        await actor.ask()
        await asyncio.sleep(PING_S + 0.3)
        actor.running.set()
        await asyncio.sleep(0.02)
        assert actor.line.state is State.CLOSED

    run(story())


def test_an_actor_that_is_gone_is_asked_once_and_found_when_it_is_back() -> None:
    async def story() -> None:
        actor = Actor()
        waiting = asyncio.create_task(actor.ask(takes_s=3))
        await asyncio.sleep(0.1)
        actor.gone = True
        assert await actor.ask() == ("away", 0.0)
        assert actor.line.away
        assert (await waiting)[0] == "away"
        await asyncio.sleep(5)
        assert await actor.ask() == ("away", 0.0)
        assert actor.calls == 2
        actor.gone = False
        await asyncio.sleep(LONGEST_PAUSE_S)
        assert (await actor.ask())[0] == "done"

    run(story())


def test_a_slow_actor_is_not_called_away_however_long_a_call_takes() -> None:
    async def story() -> None:
        actor = Actor()
        assert (await actor.ask(takes_s=15))[0] == "done"
        assert actor.pings > 10
        with pytest.raises(PartitionAway, match="within 20 s"):
            await actor.line.ask(actor.call(1000), TIMEOUT_S)
        assert not actor.line.away

    run(story())


def test_a_busy_line_is_not_pinged() -> None:
    async def story() -> None:
        actor = Actor()
        for _ in range(1000):
            await actor.ask(takes_s=0.05)
        assert actor.pings == 0

    run(story())


@pytest.mark.parametrize("error", [Overloaded("full"), JournalError("No space left on device"), KeyError("ours")])
def test_an_error_of_the_actor_is_an_answer(error: Exception) -> None:
    async def story() -> None:
        actor = Actor()
        for _ in range(2 * FAILURES):
            with pytest.raises(type(error)):
                await actor.line.ask(actor.call(error=error), TIMEOUT_S)
        assert not actor.line.away

    run(story())


def test_a_caller_that_leaves_does_not_disturb_the_line() -> None:
    async def story() -> None:
        actor = Actor()
        actor.running.clear()
        leaving = asyncio.create_task(actor.ask())
        await asyncio.sleep(0.1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await asyncio.sleep(10)
        assert not actor.line.away, "nobody waits, so nobody asks"
        actor.running.set()
        assert (await actor.ask())[0] == "done"

    run(story())


@given(
    st.lists(st.tuples(st.sampled_from(["hang", "run", "die", "return"]), st.floats(0.1, 6)), max_size=12),
    st.lists(st.floats(0.01, 3), min_size=1, max_size=20),
)
def test_whatever_the_actor_does_no_call_waits_long_and_all_is_well_in_the_end(
    deeds: list[tuple[str, float]], gaps: list[float]
) -> None:
    async def story() -> None:
        actor = Actor()
        waits: list[float] = []

        async def client() -> None:
            while True:
                for gap in gaps:
                    waits.append((await actor.ask())[1])
                    await asyncio.sleep(gap)

        clients = [asyncio.create_task(client()) for _ in range(3)]
        for deed, seconds in deeds:
            if deed in ("hang", "run"):
                (actor.running.clear if deed == "hang" else actor.running.set)()
            else:
                actor.gone = deed == "die"
            await asyncio.sleep(seconds)
        actor.gone = False
        actor.running.set()
        await asyncio.sleep(PING_S + LONGEST_PAUSE_S + 0.1)
        assert not actor.line.away
        assert (await actor.ask())[0] == "done"
        assert max(waits) <= DISCOVERY_S + 0.1
        for one in clients:
            one.cancel()
        await asyncio.wait(clients)

    run(story())
