"""Ledger by hour, sequence gaps, reconciliation and metrics of a running platform."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from platform_steps import as_json, canfleet, eventually, processes

from canfleet.child import ChildPlatform
from pipeline import metrics
from pipeline.clickhouse.client import Warehouse

pytestmark = pytest.mark.platform


def frames(vehicle: str, sequences: list[int]) -> list[dict[str, Any]]:
    now = time.time_ns() // 1000
    base = {"vehicle_id": vehicle, "arbitration_id": 0x700, "data": "00", "session": 4}
    return [base | {"sequence": n, "timestamp": now + n} for n in sequences]


def test_lost_frames_are_named_and_forgotten_when_they_come(platform: ChildPlatform, http: httpx.Client) -> None:
    def missing() -> int:
        return int(http.get("/v1/vehicles/gap-1/gaps").json().get("missing", -1))

    before = http.get("/v1/fleet/summary").json()["frames_missing"]
    assert http.post("/v1/frames", json=frames("gap-1", [1, 2, 5, 9, 9])).json()["duplicates"] == 1
    assert eventually(missing, lambda n: n == 5) == 5
    assert http.get("/v1/fleet/summary").json()["frames_missing"] == before + 5
    assert http.get("/v1/ledger").json()["frames_missing"] == before + 5
    [session] = http.get("/v1/vehicles/gap-1/gaps").json()["sessions"]
    assert session == {"session": 4, "oldest": 1, "newest": 9, "received": 4, "missing": 5}
    http.post("/v1/frames", json=frames("gap-1", [8, 3, 4, 7, 6]))
    assert eventually(missing, lambda n: n == 0) == 0


def test_the_hours_of_the_ledger_add_up_and_agree_with_clickhouse(
    platform: ChildPlatform, http: httpx.Client, live_warehouse: Warehouse
) -> None:
    fleet = as_json(canfleet(platform, "keys", "create", "--fleet", "accounts", "--json"))
    key = {"X-API-Key": fleet["key"]}
    sent = frames("counted-1", list(range(50)))
    with httpx.Client(base_url=platform.url, headers=key, timeout=30) as its:
        answer = its.post("/v1/frames", json=[*sent, sent[0], {"vehicle_id": ""}]).json()
        ledger = eventually(lambda: its.get("/v1/ledger").json(), lambda found: found["stored"] == 50)
    assert (answer["accepted"], answer["duplicates"], answer["dead_lettered"]) == (50, 1, 1)
    names = ("received", "accepted", "duplicates", "dead_lettered", "stored", "pending")
    assert [ledger[name] for name in names] == [52, 50, 1, 1, 50, 0]
    assert [sum(hour[name] for hour in ledger["hours"]) for name in names] == [52, 50, 1, 1, 50, 0]
    shown = canfleet(platform, "status", key=fleet["key"])
    assert ledger["hours"][-1]["hour"][:16].replace("T", " ") in shown.stdout
    agreed = canfleet(platform, "reconcile", key=fleet["key"])
    assert (agreed.returncode, agreed.stdout[:31]) == (0, "ledger and ClickHouse agree: 50"), agreed.stderr
    assert as_json(canfleet(platform, "reconcile", "--json"))["agrees"] is True
    live_warehouse.command("DELETE FROM frames WHERE fleet = 'accounts' AND sequence = 7", lightweight_deletes_sync=2)
    disagreed = canfleet(platform, "reconcile", key=fleet["key"])
    assert disagreed.returncode == 1
    [line] = disagreed.stderr.strip().splitlines()
    assert "ClickHouse has 49, the ledger 50 stored and 0 pending" in line
    assert json.loads(canfleet(platform, "reconcile", "--json", key=fleet["key"]).stdout)["agrees"] is False


def test_every_metric_shows_in_prometheus_format(platform: ChildPlatform, http: httpx.Client) -> None:
    http.post("/v1/frames", json=[*frames("metered-1", [1, 2, 3]), {"vehicle_id": ""}])
    http.post("/v1/frames", content=b"x", headers={"Content-Type": "text/plain"})
    http.get("/v1/vehicles/metered-1/signals/EngineSpeed")
    address = metrics_address(platform)
    # Frames are refused for want of room only (tests/serve/test_serve_frames.py), spans dropped where some are made.
    wanted = {one.name for one in metrics.ALL} - {metrics.REFUSED_FRAMES.name, metrics.DROPPED_SPANS.name}

    def shown() -> set[str]:
        text = httpx.get(f"http://{address}/metrics", timeout=10).text
        return {name for name in wanted if f"\nray_{name}" in text}

    assert eventually(shown, lambda found: found == wanted, timeout_s=60) == wanted
    ledger = eventually(lambda: http.get("/v1/ledger").json(), lambda found: found["pending"] == 0)

    def stored() -> float:
        lines = httpx.get(f"http://{address}/metrics", timeout=10).text.splitlines()
        mine = [line for line in lines if line.startswith(f"ray_{metrics.STORED.name}{{") and 'fleet="default"' in line]
        return max((float(line.rpartition(" ")[2]) for line in mine), default=-1.0)

    assert eventually(stored, lambda n: n == ledger["stored"], timeout_s=60) == ledger["stored"]


def metrics_address(platform: ChildPlatform) -> str:
    """Of Ray's metrics endpoint: its node writes the port into the folder of its session."""
    [option] = {part for line in processes(platform).values() for part in line if part.startswith("--session_dir=")}
    [path] = Path(option.partition("=")[2]).glob("metrics_export_port_*")
    return f"127.0.0.1:{path.read_text().strip()}"
