"""A shard's gauges are the numbers of its ledger, gaps and status."""

from __future__ import annotations

from pathlib import Path

from shard_feed import batches, settle, shard, submission

from pipeline import metrics
from pipeline.clickhouse.client import Warehouse
from pipeline.metrics import Kind
from pipeline.shard.readings import readings

OF_THE_HTTP_API = {metrics.PARTITION_AWAY, metrics.STREAMS, metrics.CACHE_BYTES}
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
