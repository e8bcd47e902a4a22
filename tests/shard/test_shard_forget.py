"""Forgetting a vehicle: gone from every place of a shard and every table, whatever ends the process on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from shard_feed import RECEIVED_US, batches, settle, shard, submission

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.forget import VehicleRows, being_rewritten
from pipeline.clickhouse.hourly_counts import hourly_counts
from pipeline.errors import JournalError, WarehouseAway
from pipeline.frames.dead_letters import DEAD_LETTERS
from pipeline.shard.account_answers import ledger_by_hour
from pipeline.shard.checkpoints import Checkpoints
from pipeline.shard.ledger import HOUR_US, merged
from pipeline.shard.reconciliation import first_difference
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode

GONE, STAYS = "WVWZZZ1JZXW0R7HKD", "WVWZZZ1JZXW0P3RTB"
TABLES = ("frames", "signals", "signals_1m", "signals_1h", "anomalies")
HOUR = RECEIVED_US // HOUR_US


def named(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch of two vehicles, under the names of these tests."""
    column = batch.column("vehicle_id")
    names = dict(zip(sorted(column.dictionary.to_pylist()), (GONE, STAYS), strict=True))
    dictionary = pa.array([names[one] for one in column.dictionary.to_pylist()])
    return batch.set_column(0, batch.schema.field(0), pa.DictionaryArray.from_arrays(column.indices, dictionary))


def fed(seconds: int, seed: int = 1) -> list[pa.RecordBatch]:
    return [named(batch) for batch in batches(seconds, vehicles=2, seed=seed)]


def rows_of(warehouse: Warehouse, vehicle: str, fleet: str = "default") -> dict[str, int]:
    found = {}
    for table in TABLES:
        sql = f"SELECT count() AS n FROM {table} WHERE fleet = {{f:String}} AND vehicle_id = {{v:String}}"
        [row] = warehouse.rows(sql, {"f": fleet, "v": vehicle})
        found[table] = int(row["n"])
    return found


def letter(payload: str) -> bytes:
    batch = pa.RecordBatch.from_pylist([{"stage": "parse", "reason": "not_json", "payload": payload}], DEAD_LETTERS)
    empty = fed(1)[0].slice(0, 0)
    return encode(Submission("default", RECEIVED_US, "request", empty, batch))


def difference(one: Shard, warehouse: Warehouse) -> str | None:
    ledger = merged("default", [ledger_by_hour(one, "default", HOUR - 2, HOUR + 2)])
    return first_difference(ledger, ledger, hourly_counts(warehouse, "default", HOUR - 2, HOUR + 2))


def on_disk(folder: Path, word: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def crash(one: Shard) -> None:
    """End it as SIGKILL would: nothing is written, the lock is free."""
    one._journal.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_one_vehicle_goes_from_everywhere_and_the_other_is_whole(folder: Path, warehouse: Warehouse) -> None:
    one = shard(folder, warehouse)
    *first, last = fed(8)
    for batch in first:
        one.commit([submission(batch), submission(batch, fleet="other")])
    for payload in (f'{{"vehicle_id":"{GONE}","data":"0"}}', f"{GONE},junk", f"{GONE}1,junk", f"{STAYS} junk"):
        one.commit([letter(payload)])
    settle(one)
    for partition in warehouse.rows(
        "SELECT DISTINCT table, partition_id AS id FROM system.parts WHERE database = currentDatabase() AND active"
        " AND table IN ('frames', 'signals')"
    ):
        warehouse.command(f"ALTER TABLE {partition['table']} MOVE PARTITION ID '{partition['id']}' TO VOLUME 'cold'")
    one.checkpoint()
    # Acknowledged, and neither processed nor stored.
    one.commit([submission(last)])
    assert on_disk(folder, GONE)
    before = rows_of(warehouse, GONE), rows_of(warehouse, STAYS)
    forgetting = one.forget("default", GONE)
    assert one.latest("default", GONE) is None
    settle(one)
    removed = forgetting.done.result(0)
    every = pa.Table.from_batches([*first, last])["vehicle_id"].combine_chunks().to_pylist()
    assert removed["frames"] == every.count(GONE) > before[0]["frames"]
    assert removed["signals"] > removed["signals_1m"] >= removed["signals_1h"] > 0
    assert removed["dead_letters"] == 2
    assert (removed["live_vehicles"], removed["live_sessions"]) == (1, 1)
    assert removed["live_signals"] > 10
    assert removed["journal_bytes"] > 0
    assert set(rows_of(warehouse, GONE).values()) == {0}
    assert rows_of(warehouse, STAYS)["frames"] == every.count(STAYS)
    assert rows_of(warehouse, GONE, "other") == rows_of(warehouse, GONE, "other") | {"frames": before[0]["frames"]}
    assert [v["vehicle_id"] for v in one.vehicle_list("default")] == [STAYS]
    assert difference(one, warehouse) is None
    ledger = one.ledger.of("default")
    assert (ledger.forgotten, ledger.stored) == (every.count(GONE), len(every))
    deadline = time.monotonic() + 60
    while being_rewritten(warehouse) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = warehouse.rows(
        "SELECT DISTINCT table, disk_name AS disk FROM system.parts WHERE database = currentDatabase() AND active"
        " AND (has_lightweight_delete OR table = 'frames') ORDER BY 1"
    )
    assert {row["table"] for row in left} == {"frames"}
    assert "cold" in {row["disk"] for row in left}
    mutations = warehouse.rows("SELECT command FROM system.mutations WHERE database = currentDatabase()")
    assert mutations
    assert not any(GONE in row["command"] for row in mutations)
    # Another fleet's vehicle of that name keeps it; that one goes too, and then no file knows the word.
    assert on_disk(folder, GONE)
    other = one.forget("other", GONE)
    settle(one)
    assert other.done.result(0)["frames"] == before[0]["frames"]
    assert not on_disk(folder, GONE)
    assert one.close()


def test_what_comes_afterwards_is_a_new_vehicle(folder: Path, warehouse: Warehouse) -> None:
    one = shard(folder, warehouse)
    first, second = fed(2)
    one.commit([submission(first)])
    forgetting = one.forget("default", GONE)
    # Behind the record: new frames, and those again that are forgotten, of which nothing is remembered.
    [receipt] = one.commit([submission(second)])
    [again] = one.commit([submission(first)])
    assert receipt.accepted == len(second)
    old = first.column("vehicle_id").to_pylist().count(GONE)
    assert (again.accepted, again.duplicates) == (old, len(first) - old)
    settle(one)
    assert forgetting.done.result(0)["frames"] == old
    everything = pa.Table.from_batches([first, second])["vehicle_id"].combine_chunks().to_pylist()
    for vehicle in (GONE, STAYS):
        assert rows_of(warehouse, vehicle)["frames"] == everything.count(vehicle)
    latest = one.latest("default", GONE)
    assert latest is not None
    assert latest["frames"] == everything.count(GONE)
    assert difference(one, warehouse) is None
    assert one.close()
    one = shard(folder, warehouse)
    settle(one)
    assert one.latest("default", GONE) == latest
    assert difference(one, warehouse) is None
    assert one.close()


def _before_anything(one: Shard, patch: pytest.MonkeyPatch) -> None:
    """Nothing of it is done but the record."""


def _before_deleting(one: Shard, patch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise WarehouseAway("away")

    patch.setattr(VehicleRows, "delete", away)
    with pytest.raises(WarehouseAway):
        settle(one)


def _within_deleting(one: Shard, patch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise WarehouseAway("away")

    patch.setattr(VehicleRows, "delete_letters", away)
    with pytest.raises(WarehouseAway):
        settle(one)


def _before_saving(one: Shard, patch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise JournalError("full")

    patch.setattr(Checkpoints, "save", full)
    with pytest.raises(JournalError):
        settle(one)


def _between_the_saves(one: Shard, patch: pytest.MonkeyPatch) -> None:
    save, calls = Checkpoints.save, []

    def once(self: Checkpoints) -> bool:
        calls.append(1)
        if len(calls) > 1:
            raise JournalError("full")
        return save(self)

    patch.setattr(Checkpoints, "save", once)
    with pytest.raises(JournalError):
        settle(one)


@pytest.mark.parametrize(
    "until", [_before_anything, _before_deleting, _within_deleting, _before_saving, _between_the_saves]
)
@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_crash_on_the_way_is_made_up_for(
    folder: Path,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Shard, pytest.MonkeyPatch], None],
    checkpointed: bool,
) -> None:
    one = shard(folder, warehouse)
    first, second, third, fourth = fed(4)
    one.commit([submission(first)])
    settle(one)
    if checkpointed:
        one.checkpoint()
    one.commit([submission(second)])
    one.forget("default", GONE)
    one.commit([submission(third), letter(f"{STAYS} junk")])
    until(one, monkeypatch)
    crash(one)
    monkeypatch.undo()
    one = shard(folder, warehouse)
    one.commit([submission(fourth)])
    assert {v["vehicle_id"] for v in one.vehicle_list("default")} <= {GONE, STAYS}
    settle(one)
    settle(one)
    later = pa.Table.from_batches([third, fourth])["vehicle_id"].combine_chunks().to_pylist()
    every = pa.Table.from_batches([first, second, third, fourth])["vehicle_id"].combine_chunks().to_pylist()
    assert rows_of(warehouse, GONE)["frames"] == later.count(GONE)
    assert rows_of(warehouse, STAYS)["frames"] == every.count(STAYS)
    latest = one.latest("default", GONE)
    assert latest is not None
    assert latest["frames"] == later.count(GONE)
    assert one.ledger.of("default").forgotten == every.count(GONE) - later.count(GONE)
    assert difference(one, warehouse) is None
    assert one._journal.start > 0
    assert one.close()
    one = shard(folder, warehouse)
    settle(one)
    assert one.latest("default", GONE) == latest
    assert rows_of(warehouse, GONE)["frames"] == later.count(GONE)
    assert difference(one, warehouse) is None
    assert one.close()


def test_where_another_shard_holds_the_vehicle_only_its_dead_letters_go(folder: Path, warehouse: Warehouse) -> None:
    one = shard(folder, warehouse)
    one.commit([submission(fed(1)[0]), letter(f"{GONE} junk")])
    settle(one)
    before = rows_of(warehouse, GONE)
    forgetting = one.forget("default", GONE, letters_only=True)
    settle(one)
    assert forgetting.done.result(0)["dead_letters"] == 1
    assert rows_of(warehouse, GONE) == before
    assert one.ledger.of("default").forgotten == 0
    assert one.close()


def test_forgetting_one_changes_nothing_for_the_others(folder: Path, warehouse: Warehouse) -> None:
    """Two shards get the same; one forgets a vehicle on the way. What they say of the other is the same ever after."""
    ones = [shard(folder / name, warehouse) for name in ("a", "b")]
    answers: list[Any] = []
    for one in ones:
        first = fed(6, seed=3)
        for batch in first[:3]:
            one.commit([submission(batch)])
        while one.process_next(wait=False):
            pass
        if one is ones[1]:
            index = one.vehicles.of("default", GONE)
            assert index is not None
            assert one.processor.forget(index) > 0
            one.gaps.forget(index)
        mine = [batch.filter(pa.compute.equal(batch.column("vehicle_id").cast("string"), STAYS)) for batch in first[3:]]
        for batch in mine:
            one.commit([submission(batch)])
        while one.process_next(wait=False):
            pass
        arrays = one.processor.snapshot()
        assert sum(array.nbytes for array in arrays.values()) > 0
        answers.append(
            (
                one.latest("default", STAYS),
                [a | {"detected_at": 0} for a in one.anomalies("default", STAYS, None, None, None, 99)],
            )
        )
        crash(one)
    assert answers[0] == answers[1]
    gone = ones[1].latest("default", GONE)
    assert gone is not None
    assert (gone["signals"], gone["frames"]) == ([], 0)
