"""The way of the data through the real thing: HTTP, Serve, partition actors, journal, ClickHouse, and back."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import httpx
import pytest
from platform_steps import as_json, canfleet, count, eventually, processes

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse
from simulator.score import read_truth, score

pytestmark = pytest.mark.platform


def test_a_simulated_fleet_is_stored_once_and_its_anomalies_found(
    platform: ChildPlatform, http: httpx.Client, live_warehouse: Warehouse, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.jsonl"
    options = ["--vehicles", "200", "--rate", "5", "--duration", "40", "--duplicates", "0.02", "--late", "0.02"]
    done = canfleet(platform, "simulate", *options, "--anomalies", "1.0", "--truth", str(truth), "--json")
    summary = as_json(done)
    assert summary["acknowledged"] == summary["sent"] == summary["frames"] + summary["duplicates_sent"]
    assert summary["accepted"] == summary["frames"]
    assert summary["duplicates"] == summary["duplicates_sent"] > 0
    frames = eventually(lambda: count(live_warehouse, "frames", "veh-%"), lambda n: n == summary["frames"])
    assert frames == summary["frames"]
    identities = count(live_warehouse, "frames", "veh-%", "uniqExact(vehicle_id, session, sequence)")
    assert identities == frames
    values = count(live_warehouse, "signals", "veh-%")
    assert values > frames
    for table in ("signals_1m", "signals_1h"):
        rolled_up = eventually(lambda t=table: count(live_warehouse, t, "veh-%", "sum(count)"), lambda n: n == values)
        assert rolled_up == values
    found = http.get("/v1/anomalies", params={"limit": 1000}).json()["anomalies"]
    mine = [anomaly for anomaly in found if anomaly["vehicle_id"].startswith("veh-")]
    overall = score(read_truth(truth), mine)["overall"]
    assert overall.episodes > 20
    assert overall.recall >= 0.9
    assert overall.precision >= 0.9


def test_live_answers_follow_the_frames(platform: ChildPlatform, http: httpx.Client) -> None:
    as_json(canfleet(platform, "simulate", "--vehicles", "5", "--duration", "3", "--json"))
    vehicles = {vehicle["vehicle_id"] for vehicle in http.get("/v1/vehicles").json()["vehicles"]}
    assert {"veh-00000", "veh-00004"} <= vehicles
    latest = eventually(
        lambda: http.get("/v1/vehicles/veh-00001/latest").json(), lambda answer: len(answer["signals"]) > 10
    )
    assert {"EngineSpeed", "VehicleSpeed"} & {signal["signal"] for signal in latest["signals"]}
    name = latest["signals"][0]["signal"]
    history = eventually(
        lambda: http.get(f"/v1/vehicles/veh-00001/signals/{name}").json(), lambda answer: bool(answer.get("points"))
    )
    assert history["points"]
    assert http.get("/v1/fleet/summary").json()["vehicles"] >= 5
    ledger = eventually(lambda: http.get("/v1/ledger").json(), lambda answer: answer["pending"] == 0)
    assert ledger["received"] == ledger["accepted"] + ledger["duplicates"] + ledger["dead_lettered"]
    assert ledger["accepted"] == ledger["stored"]


def test_good_rows_of_a_bad_body_are_kept_and_bad_ones_named(
    platform: ChildPlatform, http: httpx.Client, live_warehouse: Warehouse
) -> None:
    good = {"vehicle_id": "mixed-1", "timestamp": "2026-01-02T03:04:05.000006Z", "arbitration_id": 0x123, "data": "01"}
    faults = [
        {"vehicle_id": ""},
        {"timestamp": "1970-01-01T00:00:00Z"},
        {"timestamp": "2200-01-01T00:00:00Z"},
        {"arbitration_id": 0x2000_0000},
        {"data": "00" * 65},
    ]
    body = [good, *(good | fault for fault in faults)]
    answer = http.post("/v1/frames", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
    assert answer.json() == {"received": 6, "accepted": 1, "duplicates": 0, "dead_lettered": 5}
    assert eventually(lambda: count(live_warehouse, "frames", "mixed-1"), lambda n: n == 1) == 1
    rows = live_warehouse.rows("SELECT reason FROM dead_letters WHERE payload LIKE '%2026-01-02T03:04:05.000006Z%'")
    others = live_warehouse.rows("SELECT reason FROM dead_letters WHERE payload LIKE '%mixed-1%'")
    rows += [row for row in others if row["reason"].startswith("timestamp_")]
    assert len(rows) == 5
    for content, kind, status in [
        (b"not json", "application/json", 400),
        (b"not arrow", "application/vnd.apache.arrow.stream", 400),
        (b"x", "text/plain", 415),
    ]:
        refused = http.post("/v1/frames", content=content, headers={"Content-Type": kind})
        assert (refused.status_code, refused.headers["Content-Type"]) == (status, "application/problem+json")
    assert http.get("/readyz").status_code == 200


def test_a_fleet_sees_only_itself(platform: ChildPlatform, http: httpx.Client) -> None:
    made = as_json(canfleet(platform, "keys", "create", "--fleet", "acme", "--json"))
    frame = {"vehicle_id": "secret-1", "timestamp": "2026-01-02T03:04:05Z", "arbitration_id": 1, "data": ""}
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": made["key"]}, timeout=30) as acme:
        assert acme.post("/v1/frames", json=[frame]).json()["accepted"] == 1
        own = eventually(lambda: acme.get("/v1/vehicles").json()["vehicles"], bool)
        assert [vehicle["vehicle_id"] for vehicle in own] == ["secret-1"]
        assert "secret-1" not in http.get("/v1/vehicles").text
        assert http.get("/v1/vehicles/secret-1/latest").status_code == 404
        assert canfleet(platform, "keys", "revoke", made["id"]).returncode == 0
        assert eventually(lambda: acme.get("/v1/vehicles").status_code, lambda code: code == 401) == 401


def test_commands_fail_with_one_clear_line(platform: ChildPlatform, tmp_path: Path) -> None:
    wrong_key = canfleet(platform, "simulate", "--duration", "1", key="wrong")
    assert wrong_key.returncode != 0
    assert len(wrong_key.stderr.strip().splitlines()) == 1
    broken = tmp_path / "broken.asc"
    broken.write_bytes(b"\x00\x01 no log")
    done = canfleet(platform, "replay", str(broken))
    assert done.returncode != 0
    assert "broken.asc" in done.stderr
    status = as_json(canfleet(platform, "status", "--json"))
    assert status["partitions"] == 16


def test_a_killed_partition_actor_comes_back_with_everything(
    platform: ChildPlatform, http: httpx.Client, live_warehouse: Warehouse
) -> None:
    options = ["--vehicles", "50", "--rate", "10", "--duration", "15", "--seed", "5", "--json", "--connections", "2"]
    [actor] = [process for process, line in processes(platform).items() if "ray::PartitionActor" in "".join(line[:1])]
    before = count(live_warehouse, "frames", "veh-%")
    timer = threading.Timer(5.0, os.kill, (actor.pid, signal.SIGKILL))
    timer.start()
    summary = as_json(canfleet(platform, "simulate", *options))
    assert not timer.is_alive()
    assert summary["acknowledged"] == summary["sent"]
    assert summary["retries"] > 0, "the actor was not missed: the kill came too late to prove anything"
    after = eventually(lambda: count(live_warehouse, "frames", "veh-%"), lambda n: n >= before + summary["frames"])
    assert after == before + summary["frames"]
    assert count(live_warehouse, "frames", "veh-%", "uniqExact(vehicle_id, session, sequence)") == after
    values = count(live_warehouse, "signals", "veh-%")
    rolled_up = eventually(lambda: count(live_warehouse, "signals_1m", "veh-%", "sum(count)"), lambda n: n == values)
    assert rolled_up == values
