"""A load test as `make load` runs one, for seconds, against the whole platform; locust in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from platform_steps import as_json, canfleet

from canfleet.child import ChildPlatform

pytestmark = pytest.mark.platform


@pytest.fixture
def key(platform: ChildPlatform) -> str:
    """Of a fleet to which nobody else sends."""
    scopes = [part for scope in ("ingest", "query", "admin") for part in ("--scope", scope)]
    return str(as_json(canfleet(platform, "keys", "create", "--fleet", "load", *scopes, "--json"))["key"])


def load(platform: ChildPlatform, key: str, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest", *arguments, "--url", platform.url, "--alone", "--out", str(out)]
    environment = os.environ | {"CANFLEET_KEY": key}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)


def test_a_mixed_load_passes_and_a_threshold_that_is_missed_fails(
    platform: ChildPlatform, key: str, tmp_path: Path
) -> None:
    slow = ("--max-p99-ms", "100000")
    sizes = ("--users", "20", "--vehicles", "60", "--rate", "300")
    passed = load(platform, key, tmp_path, "mixed", *sizes, "--minutes", "0.08", *slow)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "ledger and ClickHouse agree" in passed.stdout
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["missed"] == []
    assert found["kinds"].keys() == {"batches", "single", "backfill", "readers", "misbehaving"}
    assert all(kind["acknowledged"] == kind["due"] > 0 for kind in found["kinds"].values()), found
    assert "batches" in (tmp_path / "report.html").read_text()
    failed = load(
        platform, key, tmp_path, "batches", "--users", "1", "--minutes", "0.03", "--max-p99-ms", "batches=0.001"
    )
    assert failed.returncode == 1
    [line] = [line for line in failed.stdout.splitlines() if line.startswith("threshold missed")]
    assert "above --max-p99-ms 0.001" in line
    assert "ledger and ClickHouse agree" in failed.stdout
