"""Requests leave nothing behind in Ray's GCS: docs/incidents/2026-11-gcs-memory.md."""

from __future__ import annotations

import re
import time

import httpx
import pytest
from platform_steps import eventually
from test_accounting import metrics_address

from canfleet.child import ChildPlatform

pytestmark = pytest.mark.platform

REQUESTS = 400


def test_requests_make_no_task_events(platform: ChildPlatform, http: httpx.Client) -> None:
    address = metrics_address(platform)

    def number(name: str) -> float:
        text = httpx.get(f"http://{address}/metrics", timeout=10).text
        return sum(float(value) for value in re.findall(rf"^{name}\{{.*\}} (\S+)$", text, re.MULTILINE))

    def reported() -> float:
        return number("ray_gcs_task_manager_task_events_reported")

    assert eventually(reported, lambda n: n > 0, timeout_s=60) > 0, "the GCS tells how many it was told of"
    before = reported()
    frame = {"vehicle_id": "tasks-1", "timestamp": time.time_ns() // 1000, "arbitration_id": 256, "data": "00"}
    for n in range(REQUESTS):
        assert http.post("/v1/frames", json=[frame | {"timestamp": frame["timestamp"] + n}]).status_code == 202
    time.sleep(12)  # told once a second, exported every ten
    assert reported() - before < REQUESTS / 2
