"""While the cold volume is away, the history of a signal is what is hot, and the answer says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from clickhouse_process import HostProcess
from serve_sockets import served
from serve_stand_in import bearer
from serve_whole_platform import close, hour_before_last, opened

from serve.query import build_query_app

WEEK = 7 * 86_400_000_000
BEGIN = hour_before_last()


def lines(begin: int) -> bytes:
    rows = (
        {
            "vehicle_id": "truck",
            "timestamp": begin + i * 1_000_000,
            "arbitration_id": 256,
            "data": f"{i:02x}00000000000000",
        }
        for i in range(60)
    )
    return "\n".join(map(json.dumps, rows)).encode()


def test_hot_data_answer_and_say_what_is_missing(tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    host = HostProcess(tmp_path / "clickhouse", "--cold-dir", str(cold))
    platform = opened(host, tmp_path / "platform", "db_cold_away")
    try:
        for number, begin in enumerate((BEGIN - 2 * WEEK, BEGIN)):
            platform.send("north", lines(begin), BEGIN + 60_000_000, f"request-{number}")
        platform.settle()
        sql = "SELECT toString(min(toMonday(timestamp))) AS week FROM signals"
        week = platform.warehouse.rows(sql)[0]["week"]
        platform.warehouse.command(f"ALTER TABLE signals MOVE PARTITION '{week}' TO VOLUME 'cold'")
        key = bearer(platform.key("north", "query")) | {"Cache-Control": "no-cache"}
        path = "/v1/vehicles/truck/signals/EngineSpeed"
        step = {"from": BEGIN - 2 * WEEK, "to": BEGIN + 60_000_000, "step": "1s"}
        old = {"from": BEGIN - 2 * WEEK, "to": BEGIN - 2 * WEEK + 60_000_000}
        new = {"from": BEGIN, "to": BEGIN + 60_000_000}
        with served(build_query_app(platform)) as url, httpx.Client(base_url=url, headers=key) as http:
            assert len(http.get(path, params=old).json()["points"]) == 60
            cold.rename(tmp_path / "away")
            away = http.get(path, params=old)
            hot = http.get(path, params=new).json()
            both = http.get(path, params=step).json()
            (tmp_path / "away").rename(cold)
            back = http.get(path, params=old).json()
        assert (away.status_code, away.json()["points"], away.json()["partial"]) == (200, [], True)
        assert "the cold volume does not answer" in away.json()["reason"]
        assert "signals from" in away.json()["reason"]
        assert "etag" not in away.headers  # a partial answer is not kept
        assert (len(hot["points"]), hot["partial"], "reason" in hot) == (60, False, False)
        assert not both["partial"]  # of two weeks the rollups answer, and they are hot
        assert (len(back["points"]), back["partial"]) == (60, False)
    finally:
        close(platform)
    assert host.terminate()[0] == 0
