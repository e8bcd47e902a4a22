"""The names that the dashboards ask Prometheus for, in what a running platform exports."""

from __future__ import annotations

import re

import httpx
from platform_steps import eventually
from test_accounting import metrics_address

from canfleet.child import ChildPlatform
from deploy.grafana.generate import generated
from pipeline.metrics import REFUSED_FRAMES

RARE = {f"ray_{REFUSED_FRAMES.name}_total"}
"""Begin with the first refusal for want of room."""


def test_every_metric_of_a_panel_is_exported(platform: ChildPlatform, http: httpx.Client) -> None:
    frames = [{"vehicle_id": "charted-1", "timestamp": "2026-01-31T12:00:00Z", "arbitration_id": 256, "data": "00"}]
    assert http.post("/v1/frames", json=frames).status_code == 202
    assert http.post("/v1/frames", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    named = set(re.findall(r"\bray_\w+", generated()["pipeline"] + generated()["fleet"])) - RARE
    assert len(named) > 15
    address = metrics_address(platform)

    def missing() -> set[str]:
        text = httpx.get(f"http://{address}/metrics", timeout=10).text
        return named - set(re.findall(r"^(ray_\w+)", text, re.MULTILINE))

    assert eventually(missing, lambda left: not left, timeout_s=60) == set()
