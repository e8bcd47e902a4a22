"""The priority queue against its specification: a sorted list of (arrival + delay, lane, number)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.errors import Overloaded
from pipeline.lanes.lane import Lane, allowance
from pipeline.lanes.queue import DELAY_S, LONGEST_WAIT_S, AgeingQueue

LANES = st.sampled_from(list(Lane))
BOUND = 100


class QueueMachine(RuleBasedStateMachine):
    """Pushes and takes at random; the model is a list."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue: AgeingQueue[int] = AgeingQueue(BOUND, lambda: self.now)
        self.waiting: list[tuple[float, Lane, int, int, float]] = []  # rank, lane, number, bytes, arrival
        self.number = 0

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(lane=LANES, n_bytes=st.integers(0, 140))
    def push(self, lane: Lane, n_bytes: int) -> None:
        used = sum(one[3] for one in self.waiting)
        late = any(one[1] is lane and self.now - one[4] > LONGEST_WAIT_S[lane] for one in self.waiting)
        if late or (used and used + n_bytes > allowance(lane, BOUND)):
            with pytest.raises(Overloaded) as refused:
                self.queue.push(lane, n_bytes, self.number)
            assert refused.value.retry_after_s > 0
        else:
            self.queue.push(lane, n_bytes, self.number)
            self.waiting.append((self.now + DELAY_S[lane], lane, self.number, n_bytes, self.now))
        self.number += 1

    @rule(most=st.integers(0, 120))
    def take(self, most: int) -> None:
        self.waiting.sort()
        expected: list[tuple[float, Lane, int, int, float]] = []
        while self.waiting:
            candidate = self.waiting[0]
            too_much = sum(one[3] for one in [*expected, candidate]) > most
            mixed = expected and expected[0][1] is Lane.CRITICAL and candidate[1] is not Lane.CRITICAL
            if expected and (too_much or mixed):
                break
            expected.append(self.waiting.pop(0))
        taken = self.queue.take(most)
        assert [entry.item for entry in taken] == [one[2] for one in expected]
        assert [entry.lane for entry in taken] == [one[1] for one in expected]

    @invariant()
    def counts_are_right(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert self.queue.n_bytes == sum(one[3] for one in self.waiting)


TestQueue = QueueMachine.TestCase


@given(st.sampled_from([Lane.LIVE, Lane.BACKFILL]), st.lists(st.floats(0, 2), min_size=10, max_size=80))
def test_nothing_waits_for_ever_behind_more_urgent_entries(lane: Lane, pauses: list[float]) -> None:
    now = 0.0
    queue: AgeingQueue[float | None] = AgeingQueue(1 << 20, lambda: now)
    queue.push(lane, 1, None)
    served: list[float | None] = []
    for pause in pauses:
        for _ in range(2):  # twice as many as are served
            with suppress(Overloaded):
                queue.push(Lane.CRITICAL, 1, now)
        served += [entry.item for entry in queue.take(0)]
        now += pause
    while entries := queue.take(0):
        served += [entry.item for entry in entries]
    own = served.index(None)
    assert all(arrival is not None and arrival <= DELAY_S[lane] for arrival in served[:own])
    assert all(arrival is not None and arrival > DELAY_S[lane] for arrival in served[own + 1 :])


def test_a_lane_that_waits_too_long_takes_no_more_and_the_others_do() -> None:
    now = 0.0
    queue: AgeingQueue[int] = AgeingQueue(BOUND, lambda: now)
    queue.push(Lane.LIVE, 1, 1)
    now = LONGEST_WAIT_S[Lane.LIVE] + 0.1
    with pytest.raises(Overloaded):
        queue.push(Lane.LIVE, 1, 2)
    queue.push(Lane.CRITICAL, 1, 3)
    assert [queue.take(9)[0].item, queue.take(9)[0].item] == [3, 1]
    queue.push(Lane.LIVE, 1, 4)


def test_each_lane_keeps_room_for_the_more_urgent_ones() -> None:
    queue: AgeingQueue[int] = AgeingQueue(BOUND)
    for lane in (Lane.BACKFILL, Lane.LIVE, Lane.CRITICAL):
        while queue.n_bytes < allowance(lane, BOUND):
            queue.push(lane, 1, 0)
        for refused in [one for one in Lane if one >= lane]:
            with pytest.raises(Overloaded):
                queue.push(refused, 1, 0)
    assert queue.n_bytes == BOUND + BOUND // 4
