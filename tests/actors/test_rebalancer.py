"""The rebalancer over a world of actors that die, hang and refuse: every shard is held where the placement says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from actors.placement import Placement, PlacementWriter, place, place_at_start, placed
from actors.rebalancer import Rebalancer, Renewal
from pipeline.errors import ConfigError, Fenced, PartitionAway, PartitionMoved
from pipeline.scaling import ScalingSettings

LOOK_S = 5.0


class World:
    """Actors that hold shards. A shard is opened by one that takes it over; whoever held it before is fenced."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.now = 0.0
        self.rate = [100.0] * len(placement.actor_of)
        self.alive: set[int] = set()
        self.held: dict[int, set[int]] = {}
        self.owner: dict[int, int] = {}
        self.room = 99
        self.touch = True
        self.fail_at = 0
        self.renewed: list[int] = []
        self.served_meanwhile: list[set[int]] = []
        self.cut_off: set[int] = set()
        self.calls = 0
        for actor in range(placement.actors):
            self.begin(actor)

    def begin(self, actor: int) -> None:
        """An actor starts, and opens what the placement on disk gives it."""
        self.alive.add(actor)
        self.held[actor] = set()
        for shard in self.placement.shards_of(actor):
            self._open(shard, actor)

    def _open(self, shard: int, actor: int) -> None:
        self.held[actor].add(shard)
        self.owner[shard] = actor

    def _call(self, actor: int) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise PartitionAway("lost on the way")
        if actor not in self.alive:
            raise PartitionAway(f"actor {actor}")

    def write(self, placement: Placement) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError("no space left on device")
        self.placement = placement

    def start(self, actor: int) -> None:
        if len(self.alive) < self.room:
            self.begin(actor)

    def stop(self, actor: int) -> None:
        assert not self.held.get(actor), "an actor was ended with shards"
        self.alive.discard(actor)

    def restart(self, actor: int) -> None:
        self.calls += 1
        self.renewed.append(actor)
        self.served_meanwhile.append(self.serving().keys() - set(self.placement.shards_of(actor)))
        self.cut_off |= self.held.pop(actor)
        self.alive.discard(actor)
        if self.calls == self.fail_at:
            raise PartitionAway(f"actor {actor} does not start")
        self.begin(actor)

    def load(self, actor: int) -> tuple[dict[int, float], float]:
        self._call(actor)
        return {shard: self.rate[shard] for shard in self.held[actor]}, 0.0

    def hold(self, shard: int, actor: int) -> None:
        self._call(actor)
        self._open(shard, actor)

    def release(self, shard: int, actor: int) -> None:
        self._call(actor)
        if shard not in self.held[actor]:
            raise PartitionMoved(f"shard {shard}")
        self.held[actor].discard(shard)

    def in_touch(self) -> bool:
        return self.touch

    def serving(self) -> dict[int, int]:
        """The actor that can acknowledge frames of each shard."""
        return {s: a for s, a in self.owner.items() if a in self.alive and s in self.held[a]}


def rebalancer(world: World, **settings: float) -> Rebalancer:
    scaling = ScalingSettings(frames_per_second=1000, fewer_after_s=20, away_after_s=10, **settings)  # type: ignore[arg-type]
    return Rebalancer(world.placement, scaling, world, world.write, lambda: world.now)


def looks(world: World, rebalancer: Rebalancer, times: int) -> None:
    for _ in range(times):
        rebalancer.look()
        world.now += LOOK_S


def everything_is_where_it_should_be(world: World) -> None:
    assert world.serving() == dict(enumerate(world.placement.actor_of))


def test_a_load_that_grows_and_falls() -> None:
    world = World(Placement.dealt(8, 1))
    one = rebalancer(world, min_actors=1, max_actors=4)
    world.rate = [400.0] * 8
    looks(world, one, 4)
    assert world.placement.actors == 4
    assert sorted(world.placement.actor_of) == [0, 0, 1, 1, 2, 2, 3, 3]
    everything_is_where_it_should_be(world)
    world.rate = [10.0] * 8
    looks(world, one, 30)
    assert (world.placement.actors, world.alive) == (1, {0})
    everything_is_where_it_should_be(world)


def test_actors_that_find_no_room_are_waited_for() -> None:
    world = World(Placement.dealt(8, 1))
    one = rebalancer(world, min_actors=1, max_actors=4)
    world.rate, world.room = [400.0] * 8, 1
    looks(world, one, 5)
    assert world.placement.actors == 1
    world.begin(1)  # the autoscaler has brought a node
    looks(world, one, 2)
    assert world.placement.actors == 2
    everything_is_where_it_should_be(world)


def test_an_actor_that_stays_away_loses_its_shards_and_gets_some_back() -> None:
    world = World(Placement.dealt(4, 2))
    one = rebalancer(world, min_actors=2, max_actors=2)
    looks(world, one, 1)
    world.alive.discard(1)
    looks(world, one, 1)
    assert world.placement.actor_of == (0, 1, 0, 1), "it may be back in a moment"
    looks(world, one, 3)
    assert world.serving() == dict.fromkeys(range(4), 0)
    world.begin(1)
    looks(world, one, 3)
    assert sorted(world.placement.actor_of) == [0, 0, 1, 1]
    everything_is_where_it_should_be(world)


def test_who_is_cut_off_himself_takes_nothing_away() -> None:
    world = World(Placement.dealt(4, 2))
    one = rebalancer(world, min_actors=2, max_actors=2)
    looks(world, one, 1)
    world.alive.discard(1)
    world.touch = False
    looks(world, one, 10)
    assert world.placement.actor_of == (0, 1, 0, 1)
    world.touch = True
    looks(world, one, 2)
    assert world.serving() == dict.fromkeys(range(4), 0)


def test_a_hung_actor_that_wakes_is_told_to_let_go() -> None:
    world = World(Placement.dealt(4, 2))
    one = rebalancer(world, min_actors=2, max_actors=2)
    looks(world, one, 1)
    world.alive.discard(1)
    looks(world, one, 3)
    world.alive.add(1)
    assert world.held[1] == {1, 3}
    looks(world, one, 1)
    assert world.held[1] == set(world.placement.shards_of(1))
    everything_is_where_it_should_be(world)


def test_all_away_is_waited_out() -> None:
    world = World(Placement.dealt(4, 2))
    one = rebalancer(world, min_actors=2, max_actors=2)
    looks(world, one, 1)
    world.alive.clear()
    looks(world, one, 50)
    assert world.placement.actor_of == (0, 1, 0, 1)


def test_a_move_that_was_asked_for() -> None:
    world = World(Placement.dealt(4, 2))
    one = rebalancer(world, min_actors=2, max_actors=2)
    one.request(0, 1)
    one.request(2, 9)
    looks(world, one, 1)
    assert world.placement.actor_of == (1, 1, 0, 1)
    everything_is_where_it_should_be(world)


@pytest.mark.parametrize("fail_at", range(1, 30))
def test_a_move_cut_off_at_any_step_is_put_right(fail_at: int) -> None:
    world = World(Placement.dealt(4, 2))
    one = rebalancer(world, min_actors=2, max_actors=2)
    world.fail_at = fail_at
    one.request(0, 1)
    one.request(3, 0)
    looks(world, one, 1)
    again = rebalancer(world, min_actors=2, max_actors=2)  # the directory was killed and started again
    looks(world, again, 4)
    everything_is_where_it_should_be(world)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_all_is_well_in_the_end(seed: int) -> None:
    chance = random.Random(seed)
    world = World(Placement.dealt(12, 2))
    one = rebalancer(world, min_actors=2, max_actors=5)
    for _ in range(60):
        event = chance.random()
        if event < 0.15 and world.alive:
            world.alive.discard(chance.choice(sorted(world.alive)))
        elif event < 0.4:
            for actor in sorted(set(range(world.placement.actors)) - world.alive):
                world.begin(actor)
        elif event < 0.5:
            world.rate = [chance.uniform(0, 800) for _ in range(12)]
        elif event < 0.6:
            world.fail_at = world.calls + chance.randint(1, 8)
        elif event < 0.65:
            one = rebalancer(world, min_actors=2, max_actors=5)
        looks(world, one, 1)
        # No split brain: one actor alone can acknowledge frames of a shard.
        assert len(world.serving()) <= 12
    for actor in range(world.placement.actors):
        if actor not in world.alive:
            world.begin(actor)
    looks(world, one, 6)
    everything_is_where_it_should_be(world)
    assert 2 <= world.placement.actors <= 5


def test_a_placement_outlives_its_run_where_it_fits(tmp_path: Path) -> None:
    assert place_at_start(tmp_path, 4, 2, 3) == Placement(0, 2, (0, 1, 0, 1))
    place(tmp_path, Placement(7, 3, (2, 1, 0, 0)))
    assert place_at_start(tmp_path, 4, 2, 3) == Placement(7, 3, (2, 1, 0, 0)) == placed(tmp_path)
    assert place_at_start(tmp_path, 4, 1, 1) == Placement(8, 1, (0, 0, 0, 0)) == placed(tmp_path)
    (tmp_path / "placement.json").write_text('{"version": 1}')
    with pytest.raises(ConfigError, match=r"placement\.json cannot be read"):
        placed(tmp_path)
    with pytest.raises(ValueError, match="beyond the first 1"):
        Placement.dealt(4, 2).of(1)


def test_a_renewal_takes_one_actor_after_the_other_and_every_shard_is_served_meanwhile() -> None:
    world = World(Placement.dealt(8, 3))
    one = rebalancer(world, min_actors=3, max_actors=3)
    looks(world, one, 1)
    before = world.placement.actor_of
    one.request_renewal()
    looks(world, one, 1)
    assert world.renewed == [0, 1, 2]
    assert world.served_meanwhile == [set(range(8))] * 3
    assert one.renewal == Renewal(())
    assert world.placement.actor_of == before
    assert not world.cut_off
    everything_is_where_it_should_be(world)


def test_the_only_actor_gives_its_shards_up_in_good_order_before_it_is_renewed() -> None:
    world = World(Placement.dealt(4, 1))
    one = rebalancer(world, min_actors=1, max_actors=1)
    one.request_renewal()
    looks(world, one, 1)
    assert (world.renewed, one.renewal) == ([0], Renewal(()))
    assert not world.cut_off
    everything_is_where_it_should_be(world)


def test_a_release_that_does_not_start_is_stopped_at_the_first_actor_and_the_others_have_its_shards() -> None:
    world = World(Placement.dealt(6, 3))
    one = rebalancer(world, min_actors=3, max_actors=3)
    looks(world, one, 1)
    one.request_renewal()
    world.fail_at = world.calls + 3 + 3 * 2 + 1  # three loads, three calls for each of two moves, the restart
    looks(world, one, 3)
    assert world.renewed == [0]
    assert one.renewal == Renewal((0, 1, 2), "actor 0 does not start")
    assert world.alive == {1, 2}
    everything_is_where_it_should_be(world)


@pytest.mark.parametrize("cut_off_at", range(1, 30))
def test_a_renewal_that_fails_at_any_step_leaves_every_shard_held(cut_off_at: int) -> None:
    world = World(Placement.dealt(4, 2))
    one = rebalancer(world, min_actors=2, max_actors=2)
    looks(world, one, 1)
    one.request_renewal()
    world.fail_at = world.calls + cut_off_at
    looks(world, one, 10)
    everything_is_where_it_should_be(world)


def test_an_actor_that_is_away_is_renewed_too() -> None:
    world = World(Placement.dealt(4, 2))
    one = rebalancer(world, min_actors=2, max_actors=2)
    looks(world, one, 1)
    world.alive.discard(1)
    one.request_renewal()
    looks(world, one, 3)
    assert (world.renewed, one.renewal) == ([0, 1], Renewal(()))
    everything_is_where_it_should_be(world)


def test_who_began_last_writes_the_placement(tmp_path: Path) -> None:
    before, placement = PlacementWriter(tmp_path), Placement.dealt(4, 2)
    before.write(placement)
    after = PlacementWriter(tmp_path)
    with pytest.raises(Fenced):
        before.check()
    with pytest.raises(Fenced):
        before.write(placement.moved(0, 1))
    assert placed(tmp_path) == placement
    after.write(placement.moved(1, 0))
    assert placed(tmp_path).actor_of == (0, 0, 0, 1)
    after.check()
