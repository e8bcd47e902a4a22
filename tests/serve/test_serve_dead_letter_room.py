"""The bound on dead letters: what a replica counts, while ClickHouse answers and while it does not."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from serve_stand_in import StandIn

from pipeline.config import CanfleetConfig
from pipeline.errors import DeadLettersFull, Overloaded
from serve import dead_letter_room
from serve.dead_letter_room import FRESH_S, DeadLetterRoom


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def platform(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path, config=CanfleetConfig.model_validate({"dead_letters": {"max_rows": 100}}))


def fits(room: DeadLetterRoom, rows: int, fleet: str = "north") -> bool:
    try:
        asyncio.run(room.admit(fleet, rows))
    except DeadLettersFull:
        return False
    return True


def state(room: DeadLetterRoom) -> dict[str, Any]:
    return asyncio.run(room.state("north"))


def test_stored_journaled_and_let_in_rows_count(platform: StandIn) -> None:
    room = DeadLetterRoom(platform, Clock())
    platform.stored_letters, platform.unstored_letters = 60, 20
    assert fits(room, 15)
    assert not fits(room, 6)
    assert fits(room, 5)
    assert not fits(room, 1)
    assert state(room) == {"held": 100, "max": 100, "full": True}
    assert not fits(room, 101, "another")
    platform.stored_letters = platform.unstored_letters = 0
    assert fits(room, 100, "a third")


def test_an_answer_serves_for_a_while(platform: StandIn) -> None:
    clock = Clock()
    room = DeadLetterRoom(platform, clock)
    platform.stored_letters = 100
    assert not fits(room, 1)
    platform.stored_letters = 0
    assert not fits(room, 1)
    clock.now += FRESH_S
    assert fits(room, 100)
    # What was let in before the question is in the answer by now, and not counted twice.
    platform.unstored_letters = 40
    clock.now += FRESH_S
    assert state(room) == {"held": 40, "max": 100, "full": False}


def test_while_clickhouse_is_away_the_journals_go_on_filling_the_bound(platform: StandIn) -> None:
    clock = Clock()
    room = DeadLetterRoom(platform, clock)
    platform.stored_letters = 50
    assert fits(room, 1)
    platform.stored_letters = None
    for unstored, ok in [(20, True), (48, True), (50, False), (80, False)]:
        platform.unstored_letters = unstored
        clock.now += FRESH_S
        assert fits(room, 2) == ok
    assert state(room)["held"] == 130
    platform.stored_letters, platform.unstored_letters = 10, 0
    clock.now += FRESH_S
    assert fits(room, 90)


def test_before_clickhouse_ever_answered_the_journals_alone_count(platform: StandIn) -> None:
    room = DeadLetterRoom(platform, Clock())
    platform.stored_letters, platform.unstored_letters = None, 99
    assert fits(room, 1)
    assert not fits(room, 1)
    assert state(room) == {"held": None, "max": 100, "full": True}


def test_shards_that_do_not_answer_leave_the_bound_as_it_was(platform: StandIn) -> None:
    clock = Clock()
    room = DeadLetterRoom(platform, clock)
    platform.stored_letters = 99
    assert fits(room, 1)
    platform.fail_dead_letters = Overloaded("shard 0 is away")
    clock.now += FRESH_S
    assert not fits(room, 1)


def test_a_slow_answer_is_waited_for_once_and_asked_for_once(
    platform: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.dead_letter_room.WAIT_S", 0.01)
    clock = Clock()
    room = DeadLetterRoom(platform, clock)
    asked = 0

    async def run() -> None:
        released = asyncio.Event()

        async def slow(_: str) -> tuple[int | None, int]:
            nonlocal asked
            asked += 1
            await released.wait()
            return 100, 0

        monkeypatch.setattr(platform, "dead_letters", slow)
        for _ in range(3):
            await room.admit("north", 1)
            clock.now += FRESH_S
        assert asked == 1
        released.set()
        with pytest.raises(DeadLettersFull):
            await room.admit("north", 1)

    asyncio.run(run())


def test_an_alarm_at_each_mark_once(platform: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "canfleet.serve")
    clock = Clock()
    room = DeadLetterRoom(platform, clock)
    for rows in (79, 1, 1, 1):
        assert fits(room, rows)
    assert [record.getMessage() for record in caplog.records] == [
        "the dead letters of fleet north are nearly full (80 of 100)"
    ]
    caplog.clear()
    assert not fits(room, 50)
    assert not fits(room, 50)
    assert [record.getMessage() for record in caplog.records] == [
        "the dead letters of fleet north are full: requests with bad rows are refused (82 of 100)"
    ]
    caplog.clear()
    clock.now += FRESH_S
    assert fits(room, 1)
    assert fits(room, 84)
    assert len(caplog.records) == 1


def test_a_fleet_past_the_mark_is_counted_until_somebody_has_made_room(
    platform: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_room, "WATCH_S", 0.01)
    monkeypatch.setattr(dead_letter_room, "FRESH_S", 0.0)

    async def scenario() -> None:
        room = DeadLetterRoom(platform)
        platform.stored_letters = 70
        await room.admit("north", 1)
        assert room.filled() == {"north": 0.71}
        platform.stored_letters = 85
        await room.admit("north", 1)
        assert room.filled()["north"] == 0.86
        platform.stored_letters = 20
        while room.filled()["north"] > 0.2:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scenario(), 30))
