"""Ledger against ClickHouse: agreement while frames are on their way, and every kind of difference named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shard_feed import RECEIVED_US, batches, settle, shard, submission, uncounted

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.hourly_counts import HourlyCounts, hourly_counts
from pipeline.clickhouse.settings import KeepSettings, RetentionSettings
from pipeline.shard.account_answers import ledger_by_hour
from pipeline.shard.ledger import HOUR_US, HOURS_KEPT, Tally, merged
from pipeline.shard.reconciliation import comparable_from, first_difference, settled
from pipeline.shard.shard import Shard

HOUR = RECEIVED_US // HOUR_US
FIRST, LAST = HOUR - 2, HOUR + 1


def ledger_of(one: Shard) -> dict[str, Any]:
    return merged("default", [ledger_by_hour(one, "default", FIRST, LAST)])


def difference(one: Shard, warehouse: Warehouse) -> str | None:
    before = ledger_of(one)
    return first_difference(before, ledger_of(one), hourly_counts(warehouse, "default", FIRST, LAST))


def filled(folder: Path, warehouse: Warehouse) -> Shard:
    """A shard that stored counted and uncounted frames, dead letters, and frames of another fleet."""
    one = shard(folder, warehouse)
    for i, batch in enumerate(batches(6)):
        one.commit([submission(batch if i % 2 else uncounted(batch), reasons=("data_too_long",))])
        one.commit([submission(batch), submission(batch, fleet="other")])
    settle(one)
    return one


def test_they_agree_at_every_step_of_a_frame(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    assert difference(one, warehouse) is None
    for batch in batches(4):
        one.commit([submission(batch, reasons=("data_too_long",))])
        assert difference(one, warehouse) is None
        while one.process_next(wait=False):
            pass
        assert ledger_of(one)["pending"] == len(batch)
        assert difference(one, warehouse) is None
        assert one.store_next()
        assert difference(one, warehouse) is None
        settle(one)
    assert settled(ledger_of(one), ledger_of(one))
    assert difference(one, warehouse) is None
    assert one.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM frames WHERE fleet = 'default' AND sequence = 3", "frames received in the hour 2025-10-09T09:00"),
        (
            "INSERT INTO frames SELECT * FROM frames WHERE fleet = 'default' AND sequence = 3 LIMIT 1",
            "frames received in the hour",
        ),
        (
            "INSERT INTO dead_letters SELECT * FROM dead_letters WHERE fleet = 'default' LIMIT 1",
            "dead letters received in the hour",
        ),
        (
            "INSERT INTO signals SELECT * FROM signals WHERE fleet = 'default' AND isFinite(value) LIMIT 1",
            "values of the hour 2025-10-09T08:00:00Z: signals_1m counts",
        ),
        ("TRUNCATE TABLE signals_1h_states", "values of the hour 2025-10-09T08:00:00Z: signals_1h counts 0"),
    ],
)
def test_a_difference_is_named(tmp_path: Path, warehouse: Warehouse, statement: str, words: str) -> None:
    one = filled(tmp_path, warehouse)
    assert difference(one, warehouse) is None
    warehouse.command(statement, lightweight_deletes_sync=2)
    found = difference(one, warehouse)
    assert found is not None
    assert found.startswith(words)
    assert "\n" not in found
    assert one.close()


@pytest.mark.parametrize("counted", [True, False])
def test_a_doubled_frame_is_named_even_where_the_number_is_right(
    tmp_path: Path, warehouse: Warehouse, counted: bool
) -> None:
    one = filled(tmp_path, warehouse)
    which = f"fleet = 'default' AND sequence IS {'NOT ' if counted else ''}NULL AND vehicle_id = 'veh-00001'"
    warehouse.command(f"INSERT INTO frames SELECT * FROM frames WHERE {which} ORDER BY timestamp LIMIT 1")
    warehouse.command(
        "DELETE FROM frames WHERE fleet = 'default' AND vehicle_id = 'veh-00002' AND (timestamp, arbitration_id) IN "
        "(SELECT timestamp, arbitration_id FROM frames WHERE fleet = 'default' AND vehicle_id = 'veh-00002' "
        "AND sequence IS NULL ORDER BY timestamp LIMIT 1) AND sequence IS NULL",
        lightweight_deletes_sync=2,
    )
    assert difference(one, warehouse) == "frames of vehicle veh-00001: 1 are in ClickHouse a second time"
    assert one.close()


def test_purged_dead_letters_are_no_difference(tmp_path: Path, warehouse: Warehouse) -> None:
    one = filled(tmp_path, warehouse)
    warehouse.command("TRUNCATE TABLE dead_letters")
    assert difference(one, warehouse) is None
    assert one.close()


def view(tally: Tally, *, hour: int = 5, waiting: bool = False) -> dict[str, Any]:
    return {**tally.as_dict(), "hours": {hour: tally.as_dict()}, "rollups_waiting": waiting}


def counts(frames: int, *, minutes: int = 0, values: int = 0) -> HourlyCounts:
    return HourlyCounts({5: frames}, None, {}, {5: values}, {5: minutes}, {5: minutes})


@pytest.mark.parametrize(("frames", "agrees"), [(6, False), (7, True), (10, True), (12, True), (13, False)])
def test_what_comes_meanwhile_explains_itself(frames: int, agrees: bool) -> None:
    before, after = view(Tally(10, 10, stored=7)), view(Tally(12, 12, stored=11))
    assert (first_difference(before, after, counts(frames)) is None) == agrees


@pytest.mark.parametrize(
    ("waiting", "minutes", "agrees"), [(True, 4, True), (False, 4, False), (True, 6, False), (False, 5, True)]
)
def test_rollups_may_follow_but_never_lead(waiting: bool, minutes: int, agrees: bool) -> None:
    one = view(Tally(3, 3, stored=3), waiting=waiting)
    assert (first_difference(one, one, counts(3, minutes=minutes, values=5)) is None) == agrees


def test_only_hours_that_both_sides_still_know_are_compared() -> None:
    forever = KeepSettings(days=None)
    keep = {"signals": forever, "signals_1m": forever, "signals_1h": forever}
    now = 500_000
    assert comparable_from(now, 0, RetentionSettings(frames=forever, **keep), "acme") == now - HOURS_KEPT + 1
    assert comparable_from(now, 0, RetentionSettings(frames=KeepSettings(days=3), **keep), "acme") == now - 48
    assert comparable_from(now, now - 5, RetentionSettings(frames=KeepSettings(days=3), **keep), "acme") == now - 5
