"""The breaker against its specification: whatever happens, in whatever order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.breaker import FAILURES, FIRST_PAUSE_S, LONGEST_PAUSE_S, CircuitBreaker, State


class AgainstSpecification(RuleBasedStateMachine):
    """The model: failures in a row, when the breaker opened and for how long, and whether a call is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = CircuitBreaker(lambda: self.now)
        self.in_a_row = 0
        self.opened_at: float | None = None
        self.pause = FIRST_PAUSE_S
        self.calling = self.probe = False

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.calling)
    @rule()
    def a_call_is_wanted(self) -> None:
        over = self.opened_at is None or self.now >= self.opened_at + self.pause
        assert self.breaker.allows() == over
        self.calling = over
        self.probe = over and self.opened_at is not None
        if self.probe:
            assert not self.breaker.allows(), "one probe at a time"

    @precondition(lambda self: self.calling)
    @rule()
    def it_succeeds(self) -> None:
        self.breaker.succeeded()
        self.calling, self.in_a_row, self.opened_at, self.pause = False, 0, None, FIRST_PAUSE_S

    @precondition(lambda self: self.calling)
    @rule()
    def it_fails(self) -> None:
        self.breaker.failed()
        self.calling = False
        self.in_a_row += 1
        if self.probe:
            self.pause = min(2 * self.pause, LONGEST_PAUSE_S)
        if self.probe or self.in_a_row >= FAILURES:
            self.opened_at = self.now

    @precondition(lambda self: self.calling)
    @rule()
    def it_fails_for_good(self) -> None:
        self.breaker.trip()
        self.calling = False
        self.in_a_row = FAILURES
        if self.probe:
            self.pause = min(2 * self.pause, LONGEST_PAUSE_S)
        self.opened_at = self.now

    @invariant()
    def the_state_is_as_specified(self) -> None:
        if self.opened_at is None:
            assert self.breaker.state is State.CLOSED
            assert self.breaker.wait_s() == 0
        else:
            assert self.breaker.state is (State.HALF_OPEN if self.calling else State.OPEN)
            assert 0 <= self.breaker.wait_s() <= LONGEST_PAUSE_S


AgainstSpecification.TestCase.settings = settings(max_examples=200, deadline=None)
TestCircuitBreaker = AgainstSpecification.TestCase


def test_a_service_that_comes_back_is_asked_again_within_the_longest_pause() -> None:
    now = [0.0]
    breaker = CircuitBreaker(lambda: now[0])
    asked = []
    while now[0] < 600:
        if breaker.allows():
            asked.append(now[0])
            breaker.failed()
        now[0] += 0.1
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert max(pauses) <= LONGEST_PAUSE_S + 0.2
    assert len(asked) < 600 / LONGEST_PAUSE_S + 10, "an open breaker must spare the service"
