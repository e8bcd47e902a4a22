"""What `canfleet status` prints: the numbers that Prometheus has, under the same names."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from shard_feed import batches, settle, shard, submission

from canfleet.commands.status import numbers, show
from pipeline import metrics
from pipeline.clickhouse.client import Warehouse
from pipeline.shard.readings import readings

NO_METRIC = {"shard", "actor", "series", "unstored_anomalies", "journal_end"}
"""Numbers of a shard that are in the document and not printed: names, and what only its own journal understands."""

FROM_HTTP_API = {"actor": 0, "breaker": "closed"}


def document(shards: list[dict[str, Any]]) -> dict[str, Any]:
    ledger = {name: 1_000 + place for place, name in enumerate(metrics.LEDGER)}
    return {
        "shards": shards,
        "ledger": ledger | {"frames_missing": 12, "hours": [{"hour": "2026-01-30T13:00:00Z"} | ledger]},
        "dead_letters": {"held": 250, "max": 1_000, "full": False},
        "history_cache": {"hits": 3, "misses": 1, "hit_rate": 0.75, "answers": 1, "bytes": 2**20, "max_bytes": 2**26},
    }


def printed(of: dict[str, Any]) -> str:
    file = StringIO()
    show(of, Console(file=file, width=200, highlight=False))
    return file.getvalue()


def test_a_shards_numbers_are_those_of_prometheus_under_their_names(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    first, second = batches(2)
    one.commit([submission(first)])
    settle(one)
    one.commit([submission(second)])
    one.process_next(wait=False)
    status = one.status()
    told = {metric: value for metric, _, value in readings(one) if metric.labels == ("shard",)}
    settle(one)
    assert one.close()
    found = dict(numbers(document([status | FROM_HTTP_API])))
    assert found.keys() >= told.keys()
    assert told[metrics.VEHICLES] > 0
    assert found[metrics.VEHICLES] == f"0: {told[metrics.VEHICLES]:.0f}"
    assert told[metrics.BACKLOG] > 0
    assert found[metrics.BACKLOG] == f"0: {told[metrics.BACKLOG] / 2**20:,.1f} MiB"
    assert found[metrics.WAREHOUSE_UP] == "0: 1"
    assert found[metrics.BREAKER_OPEN] == found[metrics.PARTITION_AWAY] == "0: 0"
    counted = {name for name, value in status.items() if isinstance(value, int | float)}
    assert counted - NO_METRIC == set(metrics.OF_STATUS), "a number without a metric's name"


def test_every_number_is_printed_beside_its_name_and_meaning() -> None:
    whole = dict.fromkeys(metrics.OF_STATUS, 1.0) | {"warehouse_error": None, "warehouse_breaker": "closed"}
    shards: list[dict[str, Any]] = [{"shard": number} | FROM_HTTP_API | whole for number in range(2)]
    of = document(shards)
    text = printed(of)
    listed = set(metrics.ALL)
    for metric, shown in numbers(of):
        assert metric in listed
        assert f"{metric.name} " in text
        assert shown in text
        assert metric.meaning.split()[0] in text
    assert dict(numbers(of))[metrics.UNSTORED_AGE] == "0: 1.0 s, 1: 1.0 s"
    assert dict(numbers(of))[metrics.LETTERS_FILLED] == "25.0%"
    assert "canfleet_ledger_…_frames by hour" in text
    assert "2026-01-30 13:00" in text
    assert "dead_lettered" in text


def test_what_nobody_tells_is_left_out() -> None:
    away = {"shard": 0, "actor": 0, "breaker": "open", "error": "does not answer"}
    hidden = {"shard": 1, "warehouse_error": "ClickHouse takes nothing at present"} | FROM_HTTP_API
    of = document([away, hidden]) | {"ledger": None, "history_cache": None}
    of["dead_letters"] = {"held": None, "max": 1_000, "full": True}
    assert dict(numbers(of)) == {metrics.PARTITION_AWAY: "0: 1, 1: 0", metrics.WAREHOUSE_UP: "1: 0"}
    text = printed(of)
    assert "does not answer" in text
    assert "ledger: unknown while a shard is away" in text
    assert "dead letters held: unknown while ClickHouse is away of at most 1,000; full" in text
