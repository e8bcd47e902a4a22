"""A shard's gauges are the numbers of its ledger, gaps and status."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shard_feed import RECEIVED_US, batches, config, settle, shard, submission

from pipeline import metrics
from pipeline.breaker import FAILURES
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.decode.databases import load_catalogue
from pipeline.errors import WarehouseAway
from pipeline.journal.settings import JournalSettings
from pipeline.metrics import Kind, Metric
from pipeline.shard.readings import readings
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode

OF_THE_HTTP_API = {metrics.PARTITION_AWAY, metrics.STREAMS, metrics.LETTERS_FILLED, metrics.CACHE_BYTES}
"""Gauges that its processes keep."""


def test_every_gauge_is_read_with_its_labels(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    first, second, third = batches(3)
    one.commit([submission(first, reasons=("data_too_long",)), submission(first), submission(second, fleet="other")])
    settle(one)
    one.commit([submission(third)])
    one.process_next(wait=False)
    found = {(metric, labels): value for metric, labels, value in readings(one)}
    of_shards = {metric for metric in metrics.ALL if metric.kind is Kind.GAUGE} - OF_THE_HTTP_API
    assert {metric for metric, _ in found} == of_shards
    assert all(len(labels) == len(metric.labels) and labels[0] == "0" for metric, labels in found)
    for name, metric in metrics.LEDGER.items():
        for fleet in ("default", "other"):
            assert found[metric, ("0", fleet)] == one.ledger.of(fleet).as_dict()[name]
    assert found[metrics.PENDING, ("0", "default")] == len(third)
    assert found[metrics.DUPLICATES, ("0", "default")] == len(first)
    assert found[metrics.MISSING, ("0", "default")] == len(second), "the second batch went to the other fleet"
    assert found[metrics.BACKLOG, ("0",)] > 0
    assert found[metrics.WAREHOUSE_UP, ("0",)] == 1
    assert found[metrics.BREAKER_OPEN, ("0",)] == 0
    assert found[metrics.RECOVERING, ("0",)] == 0
    assert 0 <= found[metrics.CHECKPOINT_AGE, ("0",)] < 3600
    room = shutil.disk_usage(tmp_path).free - JournalSettings().min_free_bytes
    assert found[metrics.JOURNAL_ROOM, ("0",)] == pytest.approx(room, rel=0.05)
    settle(one)
    assert one.close()


def test_inserts_are_timed_by_table(tmp_path: Path, warehouse: Warehouse) -> None:
    timed: list[tuple[str, float]] = []
    warehouse.on_insert = lambda table, seconds: timed.append((table, seconds))
    one = shard(tmp_path, warehouse)
    one.commit([submission(batches(1)[0], reasons=("data_too_long",))])
    settle(one)
    assert [table for table, _ in timed] == ["dead_letters", "frames", "signals", "signals_1m_states"]
    assert all(seconds > 0 for _, seconds in timed)
    assert one.close()


def at(folder: Path, warehouse: Warehouse, now_s: list[int]) -> Shard:
    """A shard whose clock shows so many seconds behind `RECEIVED_US`."""
    settings = config(folder)
    clock = lambda: RECEIVED_US + now_s[0] * 1_000_000  # noqa: E731
    return Shard(0, settings, load_catalogue(settings.profiles()), warehouse, clock=clock)


def read(one: Shard, metric: Metric) -> float:
    [value] = [value for found, _, value in readings(one) if found is metric]
    return value


def test_the_oldest_of_what_waits_tells_the_lag_before_and_after_a_restart(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    now_s = [0]
    one = at(tmp_path, warehouse, now_s)
    first, second = (
        encode(Submission("default", RECEIVED_US + s * 1_000_000, "request", batch))
        for s, batch in zip((0, 40), batches(2), strict=True)
    )
    assert read(one, metrics.UNSTORED_AGE) == 0
    one.commit([first])
    now_s[0] = 30
    assert read(one, metrics.UNSTORED_AGE) == 30, "committed, not processed"
    one.process_next(wait=False)
    now_s[0] = 50
    one.commit([second])
    assert read(one, metrics.UNSTORED_AGE) == 50
    while one.store_next():
        pass
    assert read(one, metrics.UNSTORED_AGE) == 10
    one.process_next(wait=False)
    one.close()
    again = at(tmp_path, warehouse, now_s)
    now_s[0] = 100
    assert read(again, metrics.UNSTORED_AGE) == 60
    settle(again)
    assert read(again, metrics.UNSTORED_AGE) == 0
    assert again.close()


def test_a_shard_that_takes_its_journal_in_again_says_so(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path / "one", warehouse)
    one.commit([submission(batches(1)[0])])
    shutil.copytree(tmp_path / "one", tmp_path / "crashed")
    again = shard(tmp_path / "crashed", warehouse)
    assert read(again, metrics.RECOVERING) == 1
    settle(again)
    assert read(again, metrics.RECOVERING) == 0
    assert again.close()
    settle(one)
    assert one.close()


def test_an_absent_clickhouse_opens_the_breaker(tmp_path: Path) -> None:
    nowhere = Warehouse(WarehouseSettings(url="http://127.0.0.1:9"))
    one = shard(tmp_path, nowhere)
    one.commit([submission(batches(1)[0])])
    one.process_next(wait=False)
    for _ in range(FAILURES):
        assert read(one, metrics.BREAKER_OPEN) == 0
        with pytest.raises(WarehouseAway):
            one.store_next()
    assert read(one, metrics.BREAKER_OPEN) == 1
    one.close()


def test_the_room_of_a_journal_ends_where_live_requests_are_refused(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse, journal={"max_bytes": 100 << 20, "min_free_bytes": 0, "critical_free_bytes": 0})
    before = read(one, metrics.JOURNAL_ROOM)
    assert before == (90 << 20) - read(one, metrics.JOURNAL)
    one.commit([submission(batches(1)[0])])
    assert read(one, metrics.JOURNAL_ROOM) < before
    one.close()
