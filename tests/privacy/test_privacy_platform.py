"""A whole platform that never writes a VIN, forgets a vehicle to the last byte, and is whole after a restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.forget import being_rewritten
from pipeline.clickhouse.settings import WarehouseSettings
from simulator import FLEET_DBC
from simulator.fleet import Fleet

pytestmark = pytest.mark.platform

VIN = "WVWZZZ1JZXW0R7HKD"
GONE, STAYS = "kestrel-Q7HKD-91", "heron-P3RTB-44"
TABLES = ("frames", "signals", "signals_1m_states", "signals_1h_states", "anomalies_log", "dead_letters")


def rows(vehicle: str, seconds: int) -> list[dict[str, Any]]:
    """Frames that the databases decode, up to now."""
    now = time.time_ns() // 1000
    fleet = Fleet(1, 5.0, 7, start_us=now - seconds * 1_000_000)
    frames = [fleet.tick(now - (seconds - i - 1) * 1_000_000) for i in range(seconds)]
    return [
        {
            "vehicle_id": vehicle,
            "timestamp": int(row["timestamp"].timestamp() * 1e6),
            "arbitration_id": row["arbitration_id"],
            "is_extended": row["is_extended"],
            "data": row["data"].hex(),
            "session": row["session"],
            "sequence": row["sequence"],
        }
        for batch in frames
        for row in batch.to_pylist()
    ]


def canfleet(platform: ChildPlatform, *arguments: str) -> Any:
    command = [sys.executable, "-m", "canfleet", *arguments, "--url", platform.url, "--key", platform.key, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def eventually(
    read: Callable[[], Any], wanted: Callable[[Any], bool], timeout_s: float = 60.0, pause_s: float = 0.2
) -> Any:
    deadline = time.monotonic() + timeout_s
    while True:
        value = read()
        if wanted(value) or time.monotonic() > deadline:
            return value
        time.sleep(pause_s)


def files_with(folder: Path, word: str) -> list[str]:
    """Files below a folder in which a word stands, whoever removes and adds files meanwhile."""
    found = []
    for path in (Path(where, name) for where, _, names in os.walk(folder) for name in names):
        with suppress(FileNotFoundError):
            if path.is_file() and word.encode() in path.read_bytes():
                found.append(str(path.relative_to(folder)))
    return found


def test_a_vehicle_is_forgotten_to_the_last_byte(tmp_path: Path) -> None:
    config = tmp_path / "canfleet.yaml"
    config.write_text("privacy: {pseudonymise: vin}\nshard: {shards: 2}\n")
    data = tmp_path / "data"
    platform = ChildPlatform(data, 0, 0, 0, "--config", str(config), "--dbc", str(FLEET_DBC))
    sent = {vehicle: rows(vehicle, 6) for vehicle in (GONE, STAYS, VIN)}
    n = len(sent[STAYS])
    with platform:
        warehouse = Warehouse.connect(WarehouseSettings(url=platform.clickhouse_url))
        for table in TABLES:
            # Replaced parts leave at once, not after eight minutes.
            warehouse.command(
                f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1,"
                " merge_tree_clear_old_parts_interval_seconds = 1"
            )
        with httpx.Client(base_url=platform.url, headers={"X-API-Key": platform.key}, timeout=60) as http:
            for frames in sent.values():
                body = "\n".join(json.dumps(row) for row in [*frames, frames[0] | {"data": "0"}])
                answer = http.post("/v1/frames", content=body, headers={"Content-Type": "application/x-ndjson"}).json()
                assert (answer["accepted"], answer["dead_lettered"]) == (n, 1)
            ledger = eventually(lambda: http.get("/v1/ledger").json(), lambda found: found["stored"] == 3 * n)
            assert ledger["stored"] == 3 * n
            private = http.get(f"/v1/vehicles/{VIN}/latest")
            assert private.json()["vehicle_id"].startswith("v-")
            assert VIN not in private.text + http.get("/v1/vehicles").text + http.get("/v1/dead-letters").text
            for partition in warehouse.rows(
                "SELECT DISTINCT partition_id AS id FROM system.parts WHERE database = 'canfleet' AND table = 'frames'"
                " AND active"
            ):
                warehouse.command(f"ALTER TABLE frames MOVE PARTITION ID '{partition['id']}' TO VOLUME 'cold'")
            before = files_with(data, GONE)
            assert any(name.startswith("shards/") for name in before)
            assert any(name.startswith("clickhouse/hot/") for name in before)
            assert any(name.startswith("clickhouse/cold/") for name in before)
            assert files_with(data, VIN) == []
            kept = http.get(f"/v1/vehicles/{STAYS}/latest").json()

            answer = canfleet(platform, "forget", GONE, "--yes")
            removed = answer["removed"]
            assert answer["vehicle_id"] == GONE
            assert (removed["frames"], removed["dead_letters"], removed["live_vehicles"]) == (n, 1, 1)
            assert removed["signals"] > removed["signals_1m"] > 0
            assert http.get(f"/v1/vehicles/{GONE}/latest").status_code == 404
            assert canfleet(platform, "reconcile")["agrees"] is True
            assert files_with(data / "shards", GONE) == []
            assert files_with(data / "shards", STAYS)
            assert eventually(lambda: being_rewritten(warehouse), lambda waits: not waits) is False
        warehouse.close()
    with platform, httpx.Client(base_url=platform.url, headers={"X-API-Key": platform.key}, timeout=60) as http:
        assert http.get(f"/v1/vehicles/{GONE}/latest").status_code == 404
        assert http.get(f"/v1/vehicles/{STAYS}/latest").json() == kept
        assert len(http.get("/v1/vehicles").json()["vehicles"]) == 2
        ledger = http.get("/v1/ledger").json()
        assert (ledger["stored"], ledger["forgotten"], ledger["pending"]) == (3 * n, n, 0)
        reconciled = canfleet(platform, "reconcile")
        assert (reconciled["agrees"], reconciled["frames"]) == (True, 2 * n)
        warehouse = Warehouse.connect(WarehouseSettings(url=platform.clickhouse_url))
        counts = warehouse.rows(
            "SELECT count() AS n, uniqExact(session, sequence) AS one FROM frames GROUP BY vehicle_id = {v:String}",
            {"v": STAYS},
        )
        assert counts == [{"n": n, "one": n}] * 2

        # An idle table looks for replaced parts twice a minute and less, one that is written to at least so often.
        def left() -> list[str]:
            for table in ("frames", "signals"):
                warehouse.command(f"INSERT INTO {table} (fleet) VALUES ('wake')")
            return files_with(data, GONE)

        # Each look reads everything, and makes two parts more.
        assert eventually(left, lambda found: not found, timeout_s=150, pause_s=1) == []
        assert files_with(data / "clickhouse", STAYS)
        warehouse.close()
        # Nothing is remembered: what it sends again is new.
        body = "\n".join(json.dumps(row) for row in sent[GONE])
        answer = http.post("/v1/frames", content=body, headers={"Content-Type": "application/x-ndjson"}).json()
        assert (answer["accepted"], answer["duplicates"]) == (n, 0)
    assert files_with(data, VIN) == []
