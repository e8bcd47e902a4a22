"""How many dead letters ClickHouse lacks: counted through inserts, checkpoints and crashes, for the bound on them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shard_feed import batches, settle, shard, submission

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.dead_letters import DeadLetters
from pipeline.clickhouse.writer import Writer
from pipeline.errors import WarehouseAway
from pipeline.shard.ledger import Ledger, Tally

TWO = ("data_too_long", "vehicle_id_empty")


@pytest.mark.parametrize("with_frames", [False, True])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_what_is_not_stored_yet_is_counted_across_a_crash(
    tmp_path: Path, warehouse: Warehouse, checkpointed: bool, with_frames: bool
) -> None:
    letters = DeadLetters(warehouse)
    one = shard(tmp_path / "one", warehouse)
    [batch] = batches(1)
    batch = batch if with_frames else batch.slice(0, 0)
    one.commit([submission(batch, reasons=TWO), submission(batch, fleet="other", reasons=TWO[:1])])
    settle(one)
    assert (one.unstored_dead_letters("default"), letters.held("default")) == (0, 2)
    assert (one.unstored_dead_letters("other"), letters.held("other")) == (0, 1)
    one.commit([submission(batch, reasons=TWO)])
    while one.process_next(wait=False):
        pass
    if checkpointed:
        one.checkpoint()
    one.commit([submission(batch, reasons=TWO[:1])])
    while one.process_next(wait=False):
        pass
    assert (one.unstored_dead_letters("default"), letters.held("default")) == (3, 2)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = shard(tmp_path / "two", warehouse)
    assert two.unstored_dead_letters("default") == 3
    assert two.unstored_dead_letters("other") == two.unstored_dead_letters("unheard of") == 0
    settle(two)
    assert (two.unstored_dead_letters("default"), letters.held("default")) == (0, 5)
    assert two.close()
    shutil.copytree(tmp_path / "two", tmp_path / "three")
    three = shard(tmp_path / "three", warehouse)
    settle(three)
    assert three.unstored_dead_letters("default") == 0
    assert three.close()


def test_an_insert_that_failed_leaves_them_unstored(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shard(tmp_path, warehouse)
    [batch] = batches(1)

    def away(*_: object) -> None:
        raise WarehouseAway("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "insert_frames", away)
        one.commit([submission(batch, reasons=TWO)])
        with pytest.raises(WarehouseAway):
            settle(one)
    assert one.unstored_dead_letters("default") == 2
    settle(one)
    assert one.unstored_dead_letters("default") == 0
    assert DeadLetters(warehouse).held("default") == 2
    assert one.close()


def test_a_ledger_of_an_older_version_has_all_its_dead_letters_stored() -> None:
    older = {"received": 5, "accepted": 3, "duplicates": 0, "dead_lettered": 2, "stored": 3}
    ledger = Ledger()
    ledger.restore({"north": older})
    assert ledger.of("north").dead_letters_pending == 0
    ledger.add({"north": {7: Tally(received=1, dead_lettered=1)}})
    again = Ledger()
    again.restore(ledger.snapshot())
    assert again.of("north").dead_letters_pending == 1
