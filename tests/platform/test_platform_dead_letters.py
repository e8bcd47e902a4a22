"""Dead letters end to end: refused by the gateway, listed, mended and replayed by the command line, stored once."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from platform_steps import as_json, canfleet, count, eventually

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse

pytestmark = pytest.mark.platform


def test_a_refused_frame_is_mended_and_stored_once(
    platform: ChildPlatform, live_warehouse: Warehouse, tmp_path: Path
) -> None:
    options = ["--scope", "ingest", "--scope", "admin", "--json"]
    key = as_json(canfleet(platform, "keys", "create", "--fleet", "letters", *options))["key"]
    good = {"vehicle_id": "letter-1", "timestamp": "2026-01-02T03:04:05Z", "arbitration_id": 0x123, "data": "01"}
    rows = [good | {"data": f"{i:02x}x"} for i in range(5)] + [good | {"vehicle_id": ""}, good]
    answer = httpx.post(f"{platform.url}/v1/frames", json=rows, headers={"X-API-Key": key}, timeout=30)
    assert answer.json() == {"received": 7, "accepted": 1, "duplicates": 0, "dead_lettered": 6}

    def listed(*arguments: str) -> list[dict]:
        return as_json(canfleet(platform, "dlq", "list", "--json", *arguments, key=key))["dead_letters"]

    assert len(eventually(listed, lambda letters: len(letters) == 6)) == 6
    letter = listed("--reason", "data_not_hexadecimal", "--limit", "1")[0]
    shown = as_json(canfleet(platform, "dlq", "show", letter["id"], "--json", key=key))
    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps(json.loads(shown["payload"]) | {"data": "aa"}))
    # A purge of another fleet touches nothing here.
    assert as_json(canfleet(platform, "dlq", "purge", "--reason", "vehicle_id_empty", "--json"))["purged"] >= 0
    replay = ("dlq", "replay", letter["id"], "--payload", str(mended), "--json")
    done = as_json(canfleet(platform, *replay, key=key))
    assert (done["replayed"], done["accepted"]) == (1, 1)
    again = canfleet(platform, *replay, key=key)
    assert again.returncode == 1
    assert "not among the dead letters (any more)" in again.stderr
    assert eventually(lambda: count(live_warehouse, "frames", "letter-1"), lambda n: n == 2) == 2

    failed = canfleet(platform, "dlq", "replay", "--all", key=key)
    assert (failed.returncode, len(failed.stderr.splitlines())) == (1, 1)
    status = as_json(canfleet(platform, "status", "--json", key=key))
    assert status["dead_letters"] == {"held": 5, "max": 1_000_000, "full": False}
    assert "dead letters held: 5 of at most 1,000,000" in canfleet(platform, "status", key=key).stdout
    assert as_json(canfleet(platform, "dlq", "purge", "--all", "--json", key=key)) == {"purged": 5}
    assert listed() == []
    ledger = as_json(canfleet(platform, "status", "--json", key=key))["ledger"]
    assert (ledger["received"], ledger["accepted"], ledger["dead_lettered"]) == (8, 2, 6)
