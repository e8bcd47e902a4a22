"""The cache of answers: against a model, within its bound, with a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.history.cache import MOST_S, OPEN_S, SETTLING_US, AnswerCache, CachedAnswer, life_s

SECOND = 1_000_000
HOUR = 3_600 * SECOND
NOON = 1_769_860_800 * SECOND
BOUND = 20_000


def answer(body: bytes) -> CachedAnswer:
    return CachedAnswer.of(body, "application/json")


class AgainstModel(RuleBasedStateMachine):
    """What the cache gives is what was put, within its life; what it holds never exceeds the bound."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.cache = AnswerCache(BOUND, lambda: self.now)
        self.put: dict[tuple[str, int], tuple[bytes, float]] = {}
        self.lookups = self.hits = 0

    @rule(
        fleet=st.sampled_from("ab"), question=st.integers(0, 20), body=st.binary(max_size=6_000), life=st.floats(0, 9)
    )
    def keep(self, fleet: str, question: int, body: bytes, life: float) -> None:
        self.cache.put(fleet, question, answer(body), life, self.cache.generation(fleet))
        self.put[fleet, question] = (body, self.now + life)

    @rule(fleet=st.sampled_from("ab"), question=st.integers(0, 20))
    def ask(self, fleet: str, question: int) -> None:
        found = self.cache.get(fleet, question)
        self.lookups += 1
        if found is not None:
            body, until = self.put[fleet, question]
            assert found == answer(body)
            assert self.now < until
            self.hits += 1
        assert (self.cache.hits, self.cache.misses) == (self.hits, self.lookups - self.hits)

    @rule(fleet=st.sampled_from("ab"))
    def forget(self, fleet: str) -> None:
        before = self.cache.generation(fleet)
        self.cache.forget(fleet)
        self.cache.put(fleet, 0, answer(b"made before"), 5, before)
        self.put = {key: kept for key, kept in self.put.items() if key[0] != fleet}

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def holds_no_more_than_it_may(self) -> None:
        assert 0 <= self.cache.bytes <= BOUND
        assert (self.cache.bytes == 0) == (len(self.cache) == 0)


TestAgainstModel = AgainstModel.TestCase


def test_the_answer_asked_for_least_recently_goes_first() -> None:
    cache = AnswerCache(5_000)
    heard: list[bool] = []
    cache.on_lookup = heard.append
    for question in range(4):
        cache.put("a", question, answer(b"x" * 200), 60, 0)
    assert cache.get("a", 0) is not None
    cache.put("a", 4, answer(b"x" * 200), 60, 0)
    assert [cache.get("a", question) is not None for question in range(5)] == [True, False, True, True, True]
    assert heard == [True, True, False, True, True, True]


def test_no_bytes_keep_nothing_and_the_name_is_of_the_bytes() -> None:
    cache = AnswerCache(0)
    cache.put("a", 1, answer(b""), 60, 0)
    assert cache.get("a", 1) is None
    assert answer(b"x").etag == answer(b"x").etag != answer(b"y").etag


@given(st.integers(0, 400 * 24 * HOUR), st.none() | st.integers(-HOUR, 400 * 24 * HOUR))
def test_a_life_is_long_only_once_the_vehicle_was_heard_of_from_beyond_the_range(age: int, ahead: int | None) -> None:
    end = NOON - age
    life = life_s(end, NOON, None if ahead is None else end + ahead)
    assert OPEN_S <= life <= MOST_S
    if age < SETTLING_US or (ahead is not None and ahead < SETTLING_US):
        assert life == OPEN_S
    else:
        assert life == pytest.approx(min(MOST_S, max(OPEN_S, age / SECOND / 10)))


def test_lives() -> None:
    assert life_s(NOON, NOON) == OPEN_S
    assert life_s(NOON + HOUR, NOON, NOON + 2 * HOUR) == OPEN_S
    assert life_s(NOON - HOUR, NOON, NOON) == 360
    assert life_s(NOON - 24 * HOUR, NOON, NOON) == MOST_S
    # Yesterday's drive is being sent: up to noon has come, so the afternoon is open.
    assert life_s(NOON - 20 * HOUR, NOON, NOON - 24 * HOUR) == OPEN_S
