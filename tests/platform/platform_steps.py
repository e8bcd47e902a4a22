"""What tests of a running platform do again and again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import psutil

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse


def canfleet(platform: ChildPlatform, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command against the platform."""
    command = [sys.executable, "-m", "canfleet", *arguments, "--url", platform.url, "--key", key or platform.key]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def eventually(read: Callable[[], Any], wanted: Callable[[Any], bool], timeout_s: float = 30.0) -> Any:
    """The first value read that is as wanted, or the last one; what is not there or does not answer yet comes later."""
    deadline = time.monotonic() + timeout_s
    while True:
        over = time.monotonic() > deadline
        try:
            value = read()
            if wanted(value) or over:
                return value
        except (LookupError, httpx.TransportError):
            if over:
                raise
        time.sleep(0.1)


def processes(platform: ChildPlatform) -> dict[psutil.Process, list[str]]:
    """What runs below the platform, with its command line; what ends meanwhile is left out."""
    found = {}
    for process in psutil.Process(platform.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found[process] = process.cmdline()
    return found


def count(warehouse: Warehouse, table: str, vehicles: str, what: str = "count()") -> int:
    """Of vehicles whose id is like `vehicles`; those of the page's tests are of fleets of their own."""
    sql = f"SELECT {what} AS n FROM {table} WHERE vehicle_id LIKE {{like:String}} AND fleet NOT IN ('page', 'crowd')"
    rows = warehouse.rows(sql, {"like": vehicles})
    return int(rows[0]["n"])
