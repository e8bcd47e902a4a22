"""The ledger by hour of receipt: identities, forgetting, and what older versions wrote."""

from __future__ import annotations

import json
from dataclasses import asdict

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shard.ledger import HOURS_KEPT, UNKNOWN, Ledger, Tally, accepted_by_fleet, merged
from pipeline.shard.records import Stored

ADDITIONS = st.lists(
    st.tuples(
        st.sampled_from(["north", "south"]),
        st.integers(400_000, 400_000 + 3 * HOURS_KEPT),
        st.builds(Tally, *[st.integers(0, 50)] * 5),
    ),
    max_size=60,
)


def summed(tallies: list[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def from_dict(counts: dict[str, int]) -> Tally:
    return Tally(**{name: count for name, count in counts.items() if name != "pending"})


@given(ADDITIONS)
def test_hours_are_sums_and_totals_forget_nothing(additions: list[tuple[str, int, Tally]]) -> None:
    ledger = Ledger()
    kept: dict[str, dict[int, list[Tally]]] = {}
    for fleet, hour, tally in additions:
        ledger.add({fleet: {hour: tally}})
        hours = kept.setdefault(fleet, {})
        hours.setdefault(hour, []).append(tally)
        oldest = max(hours) - HOURS_KEPT
        kept[fleet] = {h: tallies for h, tallies in hours.items() if h > oldest}
    again = Ledger()
    again.restore(json.loads(json.dumps(ledger.snapshot())))
    for one in (ledger, again):
        for fleet, hours in kept.items():
            answer = one.by_hour(fleet, 0, 1 << 40)
            assert answer["hours"] == {hour: summed(tallies).as_dict() for hour, tallies in hours.items()}
            assert answer["total"] == summed([t for f, _, t in additions if f == fleet]).as_dict()
            told_apart = [tally for tallies in hours.values() for tally in tallies]
            assert summed([*told_apart, from_dict(answer["earlier"])]).as_dict() == answer["total"]
            assert answer["complete_from"] == 0
            assert len(hours) <= HOURS_KEPT
        assert one.total() == summed([tally for _, _, tally in additions])


def test_the_shards_parts_of_a_fleet_add_up() -> None:
    one, two = Ledger(), Ledger()
    one.add({"north": {5: Tally(3, 2, 1), 5 + HOURS_KEPT: Tally(1, 1)}})
    two.add({"north": {5: Tally(3, 3, 0, 0, 3), 6: Tally(dead_lettered=1, received=1)}})
    more = {"frames_missing": 2, "rollups_waiting": False, "forgetting": False}
    parts = [ledger.by_hour("north", 0, 10_000) | more for ledger in (one, two)]
    parts[1]["rollups_waiting"] = True
    assert merged("north", parts) == {
        "fleet": "north",
        **Tally(8, 6, 1, 1, 3).as_dict(),
        "frames_missing": 4,
        "earlier": Tally(3, 2, 1).as_dict(),
        "hours": {
            5: Tally(3, 3, 0, 0, 3).as_dict(),
            6: Tally(1, 0, 0, 1).as_dict(),
            5 + HOURS_KEPT: Tally(1, 1).as_dict(),
        },
        "complete_from": 0,
        "rollups_waiting": True,
        "forgetting": False,
    }


def test_a_part_of_the_hours_can_be_asked_for() -> None:
    ledger = Ledger()
    ledger.add({"north": {hour: Tally(received=hour) for hour in range(10, 20)}})
    assert list(ledger.by_hour("north", 12, 15)["hours"]) == [12, 13, 14]
    assert ledger.by_hour("unknown", 0, 100) == {
        "total": Tally().as_dict(),
        "earlier": Tally().as_dict(),
        "hours": {},
        "complete_from": 0,
    }
    assert accepted_by_fleet({"north": {1: Tally(accepted=2), 2: Tally(accepted=3)}}) == {"north": 5}


def test_a_confirmed_insert_of_an_hour_that_is_forgotten_counts_in_the_total() -> None:
    ledger = Ledger()
    ledger.add({"north": {5: Tally(7, 7)}})
    ledger.add({"north": {5 + HOURS_KEPT: Tally(1, 1)}})
    ledger.add({"north": {5: Tally(stored=7)}})
    assert list(ledger.by_hour("north", 0, 10_000)["hours"]) == [5 + HOURS_KEPT]
    assert ledger.of("north") == Tally(8, 8, 0, 0, 7)


def test_a_checkpoint_from_before_there_were_hours_is_read() -> None:
    ledger = Ledger()
    ledger.restore({"north": asdict(Tally(10, 8, 1, 1, 5))})
    assert ledger.by_hour("north", 0, 1_000) == {
        "total": Tally(10, 8, 1, 1, 5).as_dict(),
        "earlier": Tally(10, 8, 1, 1, 5).as_dict(),
        "hours": {},
        "complete_from": 1_000,
    }
    ledger.add({"north": {500: Tally(4, 4)}})
    answer = ledger.by_hour("north", 0, 1_000)
    assert answer["total"] == Tally(14, 12, 1, 1, 5).as_dict()
    assert answer["complete_from"] == 501, "hour 500 may have begun before the checkpoint"


def test_a_journal_record_from_before_there_were_hours_is_read() -> None:
    old = orjson.dumps({"end": 7, "tallies": {"north": asdict(Tally(stored=3))}})
    record = Stored.decode(old)
    assert (record.end, record.late) == (7, [])
    assert record.tallies == {"north": {UNKNOWN: Tally(stored=3)}}
    ledger = Ledger()
    ledger.add({"north": {9: Tally(3, 3)}})
    ledger.add(record.tallies)
    assert ledger.of("north").pending == 0


@pytest.mark.parametrize("fleet", ["north", "received"])
def test_a_journal_record_reads_back(fleet: str) -> None:
    record = Stored(2, 9, {fleet: {3: Tally(1, 1, 0, 0, 1), 4: Tally(accepted=-1, duplicates=1)}}, [])
    assert Stored.decode(record.encode()) == record
