"""A caller's trace context, from the request's header to the inserts that store its frames, on the real engine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from clickhouse_process import HostProcess
from serve_joined import Joined
from serve_stand_in import BOOTSTRAP, bearer, client
from serve_whole_platform import WholePlatform, close, hour_before_last, opened

from pipeline.shard.chunk import MOST_TRACES

TRACES = [f"{i:032x}" for i in range(1, 4)]
TABLES = ("frames", "signals", "dead_letters")
BEGIN = hour_before_last()


def comments(platform: WholePlatform, table: str) -> list[str]:
    rows = platform.warehouse.rows(f"SELECT comment FROM comments_of_{table} WHERE rows > 0")
    return [row["comment"] for row in rows]


@pytest.fixture
def platform(host: HostProcess, tmp_path: Path) -> WholePlatform:
    """What each insert's `log_comment` was, as ClickHouse itself sees it, is noted by views on the tables."""
    found = opened(host, tmp_path, f"db_{tmp_path.name.replace('-', '_')}")
    for table in TABLES:
        found.warehouse.command(
            f"CREATE MATERIALIZED VIEW comments_of_{table} ENGINE = MergeTree ORDER BY rows AS "
            f"SELECT getSetting('log_comment') AS comment, count() AS rows FROM {table} GROUP BY comment"
        )
    return found


def send(platform: WholePlatform, *traceparents: str | None, path: str = "/v1/frames") -> None:
    async def scenario() -> None:
        async with client(Joined(platform)) as http:
            for i, traceparent in enumerate(traceparents):
                row = {"vehicle_id": "v", "timestamp": BEGIN + i, "arbitration_id": 256, "data": "00" * 8}
                headers = bearer(BOOTSTRAP) | {"Content-Type": "application/x-ndjson"}
                answer: httpx.Response = await http.post(
                    path,
                    content=json.dumps(row) + "\nno frame\n",
                    headers=headers | ({} if traceparent is None else {"traceparent": traceparent}),
                )
                assert answer.status_code == 202, answer.text

    asyncio.run(scenario())


def test_the_insert_names_the_traces_of_its_requests(platform: WholePlatform) -> None:
    send(platform, *(f"00-{trace}-b7ad6b7169203331-01" for trace in (*TRACES, TRACES[0])), None)
    platform.settle()
    for table in TABLES:
        assert comments(platform, table) == [f"traces {' '.join(TRACES)}"], table
    close(platform)


def test_it_does_so_after_a_restart_too(platform: WholePlatform) -> None:
    send(platform, f"00-{TRACES[1]}-b7ad6b7169203331-00")
    platform.shard.checkpoint()
    close(platform)
    again = WholePlatform(platform.folder, platform.config, warehouse=platform.warehouse)
    again.settle()
    for table in TABLES:
        assert comments(again, table) == [f"traces {TRACES[1]}"], table
    close(again)


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "00",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACES[0]}-{'0' * 16}-01",
        f"ff-{TRACES[0]}-b7ad6b7169203331-01",
        f"00-{TRACES[0].upper()}f-b7ad6b7169203331-01",
        f"00-{TRACES[0]}-b7ad6b7169203331-01'; DROP TABLE frames; --",
    ],
)
def test_what_is_no_trace_context_is_passed_over(platform: WholePlatform, odd: str) -> None:
    send(platform, odd)
    platform.settle()
    assert comments(platform, "frames") == [""]
    close(platform)


def test_of_very_many_traces_some_are_named(platform: WholePlatform) -> None:
    send(platform, *(f"00-{i:032x}-b7ad6b7169203331-01" for i in range(1, MOST_TRACES + 6)))
    platform.settle()
    [comment] = comments(platform, "frames")
    assert comment.startswith(f"traces {1:032x} {2:032x} ")
    assert comment.endswith(f"{MOST_TRACES:032x} and 5 more")
    close(platform)
