"""The ledger's endpoints: hours asked for, differences told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from serve_stand_in import StandIn, bearer, check_problem, client

from pipeline.clickhouse.hourly_counts import HourlyCounts
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.shard.ledger import HOUR_US, Tally
from serve import ledger_routes
from serve.query import build_query_app

NOON = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z
NOW = time.time_ns() // 1000 // HOUR_US
Ask = Callable[..., httpx.Response]


@pytest.fixture
def platform(tmp_path: Path) -> StandIn:
    # Only the retention of its settings is asked for here; what ClickHouse counts is put in by the tests.
    return StandIn(tmp_path, warehouse=SimpleNamespace(settings=WarehouseSettings()))


@pytest.fixture
def ask(platform: StandIn) -> Ask:
    key = platform.key("north", "query")

    def send(path: str) -> httpx.Response:
        async def call() -> httpx.Response:
            async with client(build_query_app(platform)) as http:
                return await http.get(path, headers=bearer(key))

        return asyncio.run(call())

    return send


def test_totals_stand_beside_the_hours(platform: StandIn, ask: Ask) -> None:
    platform.ledger_hours = [NOON // HOUR_US, NOON // HOUR_US + 1]
    answer = ask("/v1/ledger").json()
    assert {"fleet", "received", "accepted", "duplicates", "dead_lettered", "stored", "pending"} < answer.keys()
    assert "rollups_waiting" not in answer
    assert answer["hours"] == [
        {"hour": "2026-01-31T12:00:00Z", **Tally().as_dict()},
        {"hour": "2026-01-31T13:00:00Z", **Tally().as_dict()},
    ]


@pytest.mark.parametrize(
    ("query", "hours"),
    [
        ("from=2026-01-31T12:00:00Z&to=2026-01-31T14:00:00Z", (0, 2)),
        ("from=2026-01-31T12:59:59Z&to=2026-01-31T13:00:01Z", (0, 2)),
        (f"from={NOON}&to={NOON + 1}", (0, 1)),
    ],
)
def test_an_hour_counts_where_the_range_touches_it(platform: StandIn, ask: Ask, query: str, hours: Any) -> None:
    assert ask(f"/v1/ledger?{query}").status_code == 200
    assert platform.ledger_ranges == [(NOON // HOUR_US + hours[0], NOON // HOUR_US + hours[1])]


@pytest.mark.parametrize("path", ["/v1/ledger", "/v1/ledger/reconciliation"])
@pytest.mark.parametrize("query", ["from=5&to=5", "from=yesterday", "from=2&to=1"])
def test_a_range_that_makes_no_sense(ask: Ask, path: str, query: str) -> None:
    check_problem(ask(f"{path}?{query}"), 400, "bad-request")


def test_a_reconciliation_names_the_first_difference(
    platform: StandIn, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, int, int]] = []
    frames: dict[int, int] = {}

    def count(_: object, fleet: str, start: int, end: int) -> HourlyCounts:
        counted.append((fleet, start, end))
        return HourlyCounts(frames, None, {}, {}, {}, {})

    monkeypatch.setattr(ledger_routes, "hourly_counts", count)
    answer = ask("/v1/ledger/reconciliation").json()
    assert (answer["agrees"], answer["difference"], answer["settled"]) == (True, None, True)
    frames[NOW] = 3
    answer = ask("/v1/ledger/reconciliation").json()
    assert answer["agrees"] is False
    assert answer["difference"].endswith("ClickHouse has 3, the ledger 0 stored and 0 pending")
    assert [fleet for fleet, _, _ in counted] == ["north", "north"]
    assert all(end - start == ledger_routes.DEFAULT_HOURS for _, start, end in counted)


def test_nothing_is_compared_that_one_side_has_forgotten(
    platform: StandIn, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = NOW - 5_000
    platform.ledger_hours = [long_ago]
    monkeypatch.setattr(ledger_routes, "hourly_counts", lambda *_: HourlyCounts({}, None, {}, {}, {}, {}))
    answer = ask(f"/v1/ledger/reconciliation?from=0&to={(long_ago + 1) * HOUR_US}").json()
    assert answer["agrees"] is True
    assert answer["from"] == answer["to"]
