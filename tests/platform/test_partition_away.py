"""One partition actor of two hangs, then dies, under requests for both: only those for its vehicles are refused."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pyarrow as pa
import pytest
from platform_data import PARTITIONS
from platform_steps import canfleet, eventually
from sending_thread import SendingThread

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.partitioning import partition_of

pytestmark = pytest.mark.platform

MANY = 40


@dataclass(frozen=True)
class Answer:
    """To one request: its status, its problem's type, its Retry-After, and how long it took."""

    status: int
    kind: str
    retry_after: str | None
    seconds: float


class Talker(SendingThread):
    """Sends one frame after the other of one vehicle, each once and whatever the answer.

    Attributes:
        answers: in order; the frame of answer `i` has sequence `i`.
    """

    def __init__(self, url: str, key: str, vehicle: str, pause_s: float = 0.02) -> None:
        self.vehicle = vehicle
        self.answers: list[Answer] = []
        super().__init__(url, key, timeout_s=60)
        self._pause_s = pause_s

    def next(self, n: int, status: int | None = None, timeout_s: float = 90) -> list[Answer]:
        """Wait for `n` answers more, of that status if one is given; all that came meanwhile."""
        first, deadline = len(self.answers), time.monotonic() + timeout_s
        while sum(status in (None, answer.status) for answer in self.answers[first:]) < n:
            assert time.monotonic() < deadline, Counter(answer.status for answer in self.answers[first:])
            time.sleep(0.02)
        return self.answers[first:]

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            began = time.monotonic()
            answer = self._client.post("/v1/frames", json=[self._frame(len(self.answers))])
            kind = answer.json().get("type", "").rpartition(":")[2]
            seconds = time.monotonic() - began
            self.answers.append(Answer(answer.status_code, kind, answer.headers.get("Retry-After"), seconds))

    def _frame(self, sequence: int) -> dict[str, Any]:
        at = time.time_ns() // 1000
        frame = {"vehicle_id": self.vehicle, "timestamp": at, "arbitration_id": 256, "data": "00"}
        return frame | {"session": 1, "sequence": sequence}


def vehicle_of(shard: int) -> str:
    """A vehicle of fleet default in a shard of two."""
    ids = pa.array([f"away-{i}" for i in range(20)])
    return str(ids[(partition_of("default", ids, PARTITIONS) % 2).tolist().index(shard)])


@pytest.fixture(scope="module")
def talkers(own: ChildPlatform) -> Iterator[tuple[Talker, Talker]]:
    first, second = (Talker(own.url, own.key, vehicle_of(shard)) for shard in (0, 1))
    with first, second:
        yield first, second


def shards(platform: ChildPlatform) -> list[dict[str, Any]]:
    answer = httpx.get(f"{platform.url}/v1/status", headers={"X-API-Key": platform.key}, timeout=60)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["shards"])


def stored(warehouse: Warehouse, vehicle: str) -> list[int]:
    sql = "SELECT sequence FROM frames WHERE vehicle_id = {vehicle:String} ORDER BY sequence"
    return [row["sequence"] for row in warehouse.rows(sql, {"vehicle": vehicle})]


def all_acknowledged(answers: list[Answer]) -> bool:
    return {answer.status for answer in answers} == {202}


def refused_with_advice(answers: list[Answer]) -> bool:
    refused = [answer for answer in answers if answer.status != 202]
    return {(one.status, one.kind) for one in refused} == {(503, "unavailable")} and all(
        one.retry_after == "1" for one in refused
    )


def test_a_hung_partition_is_refused_at_once_and_the_other_notices_nothing(
    own: ChildPlatform, talkers: tuple[Talker, Talker]
) -> None:
    here, there = talkers
    there.next(5, 202)
    here.next(5, 202)
    pid = shards(own)[1]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        others = len(here.answers)
        # With the actor still stopped: each of them would else wait for it, or for a timeout of 20 s.
        there.next(MANY, 503)
        here.next(MANY)
        with httpx.Client(base_url=own.url, headers={"X-API-Key": own.key}, timeout=60) as http:
            assert http.get(f"/v1/vehicles/{here.vehicle}/latest").status_code == 200
            for path in (f"/v1/vehicles/{there.vehicle}/latest", "/v1/vehicles", "/v1/fleet/summary", "/v1/ledger"):
                answer = http.get(path)
                assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1"), path
        breakers = [shard["breaker"] for shard in shards(own)]
        assert breakers[0] == "closed"
        assert breakers[1] in ("open", "half-open")
        shown = canfleet(own, "status")
        assert shown.returncode == 0, shown.stderr
        assert "unknown while a shard is away" in shown.stdout
        assert all_acknowledged(here.answers[others:])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert refused_with_advice(there.answers)
    there.next(MANY, 202)
    assert all_acknowledged(there.next(MANY))
    assert [shard["breaker"] for shard in shards(own)] == ["closed", "closed"]


def test_a_killed_partition_is_refused_until_it_is_back_and_the_other_notices_nothing(
    own: ChildPlatform, talkers: tuple[Talker, Talker]
) -> None:
    there, here = talkers
    before, others = len(there.answers), len(here.answers)
    pid = shards(own)[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    there.next(2, 503)
    there.next(MANY, 202)
    assert refused_with_advice(there.answers[before:])
    assert all_acknowledged(here.answers[others:])
    assert shards(own)[0]["pid"] != pid


def test_each_frame_is_stored_once_and_none_that_was_acknowledged_is_missing(
    own: ChildPlatform, talkers: tuple[Talker, Talker]
) -> None:
    warehouse = Warehouse.connect(WarehouseSettings(url=own.clickhouse_url))
    try:
        for talker in talkers:
            talker.finish()
            acknowledged = {i for i, answer in enumerate(talker.answers) if answer.status == 202}
            rows = eventually(lambda v=talker.vehicle: stored(warehouse, v), acknowledged.issubset)
            assert len(rows) == len(set(rows))
            assert acknowledged <= set(rows)
    finally:
        warehouse.close()
