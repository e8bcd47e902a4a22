"""How many actors a load wants, and which shards move: properties, and the cases that people will ask about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.balance import ActorCount, Load, moves
from actors.placement import Placement
from pipeline.scaling import ScalingSettings

RATES = st.floats(0, 1e6, allow_nan=False)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Placement, list[float], list[int]]:
    usable = sorted(draw(st.sets(st.integers(0, 6), min_size=1)))
    rates = draw(st.lists(RATES, min_size=1, max_size=24))
    holders = draw(st.lists(st.integers(0, 6), min_size=len(rates), max_size=len(rates)))
    return Placement(0, 7, tuple(holders)), rates, usable


def after(placement: Placement, planned: list[tuple[int, int]]) -> list[int]:
    holders = list(placement.actor_of)
    for shard, actor in planned:
        holders[shard] = actor
    return holders


@given(situations())
def test_every_shard_ends_on_a_usable_actor_and_is_moved_once_at_most(
    situation: tuple[Placement, list[float], list[int]],
) -> None:
    placement, rates, usable = situation
    planned = moves(placement, rates, usable)
    assert set(after(placement, planned)) <= set(usable)
    assert len({shard for shard, _ in planned}) == len(planned)
    assert all(placement.actor_of[shard] != actor for shard, actor in planned)


@given(situations())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(situation: tuple[Placement, list[float], list[int]]) -> None:
    placement, rates, usable = situation
    there = Placement(1, 7, tuple(after(placement, moves(placement, rates, usable))))
    assert moves(there, rates, usable) == []


@given(st.integers(1, 32), st.integers(1, 8))
def test_equal_shards_are_spread_evenly(shards: int, actors: int) -> None:
    placement = Placement(0, actors, (0,) * shards)
    holders = after(placement, moves(placement, [10.0] * shards, list(range(actors))))
    held = [holders.count(actor) for actor in range(actors)]
    assert max(held) - min(held) <= max(1, 0.2 * shards / actors)


def test_a_heavy_shard_has_an_actor_to_itself() -> None:
    placement = Placement.dealt(6, 2)
    holders = after(placement, moves(placement, [1000, 100, 100, 100, 100, 100], [0, 1]))
    assert [shard for shard, actor in enumerate(holders) if actor == holders[0]] == [0]


def test_slightly_uneven_loads_move_nothing() -> None:
    assert moves(Placement.dealt(4, 2), [100, 110, 100, 105], [0, 1]) == []


def test_no_load_at_all_still_spreads_shards() -> None:
    assert sorted(after(Placement(0, 2, (0, 0)), moves(Placement(0, 2, (0, 0)), [0, 0], [0, 1]))) == [0, 1]


def loads(*rates: float, busy: float = 0.1) -> list[Load]:
    return [Load({shard: rate}, busy) for shard, rate in enumerate(rates)]


def counter(**settings: float) -> ActorCount:
    return ActorCount(ScalingSettings(min_actors=1, max_actors=8, frames_per_second=1000, **settings), 16)  # type: ignore[arg-type]


def test_more_actors_at_the_second_look() -> None:
    count = counter()
    assert count.wanted(0, loads(2500), 1) == 1
    assert count.wanted(5, loads(2500), 1) == 3
    assert count.wanted(10, loads(900), 1) == 1
    assert count.wanted(15, loads(2500), 1) == 1, "one look may have met a burst"


def test_a_busy_actor_asks_for_help_whatever_its_rate() -> None:
    count = counter()
    assert [count.wanted(now, loads(10, busy=0.95), 1) for now in (0, 5)] == [1, 2]


def test_fewer_actors_one_by_one_after_a_long_calm() -> None:
    count = counter(fewer_after_s=60)
    seen = [count.wanted(now, loads(300, 300, 300), 3) for now in range(0, 200, 20)]
    assert seen == [3, 3, 3, 2, 3, 3, 3, 2, 3, 3]
    assert counter(fewer_after_s=0).wanted(0, loads(300, 300, 300, busy=0.7), 3) == 3, "two would be too busy"


def test_the_calm_must_last() -> None:
    count = counter(fewer_after_s=60)
    assert count.wanted(0, loads(1), 2) == 2
    assert count.wanted(50, loads(1999), 2) == 2
    assert count.wanted(70, loads(1), 2) == 2
    assert count.wanted(140, loads(1), 2) == 1


@given(st.lists(st.tuples(RATES, st.floats(0, 4)), min_size=1, max_size=8), st.integers(1, 8), st.integers(1, 8))
def test_bounds_hold_whatever_the_load(seen: list[tuple[float, float]], least: int, more: int) -> None:
    scaling = ScalingSettings(min_actors=least, max_actors=least + more, fewer_after_s=0)
    count = ActorCount(scaling, 16)
    for now in range(4):
        wanted = count.wanted(now, [Load({0: rate}, busy) for rate, busy in seen], len(seen))
        assert min(least, 16) <= wanted <= min(least + more, 16)


def test_without_bounds_there_is_an_actor_a_shard() -> None:
    assert ScalingSettings().bounds(5) == (5, 5)
    assert ScalingSettings(min_actors=2).bounds(5) == (2, 5)
    assert ScalingSettings(max_actors=3).bounds(5) == (3, 3)
    assert ScalingSettings(min_actors=9, max_actors=12).bounds(5) == (5, 5)
