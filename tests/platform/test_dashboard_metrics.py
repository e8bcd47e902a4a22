"""The names that dashboards and alarms ask Prometheus for, in what a running platform exports."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from platform_steps import eventually
from test_accounting import metrics_address

from canfleet.child import ChildPlatform
from deploy.grafana.generate import generated
from pipeline.metrics import DROPPED_SPANS, REFUSED_FRAMES

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"
RARE = {f"ray_{metric.name}_total" for metric in (REFUSED_FRAMES, DROPPED_SPANS)}
"""Begin with the first refusal for want of room, or the first span that is dropped."""


def test_every_metric_of_a_panel_or_rule_is_exported(platform: ChildPlatform, http: httpx.Client) -> None:
    frames = [{"vehicle_id": "charted-1", "timestamp": "2026-01-31T12:00:00Z", "arbitration_id": 256, "data": "00"}]
    assert http.post("/v1/frames", json=frames).status_code == 202
    assert http.post("/v1/frames", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    assert http.post("/v1/frames", json=[{"vehicle_id": ""}]).json()["dead_lettered"] == 1
    assert http.get("/v1/vehicles").status_code == 200
    asking = [generated()["pipeline"], generated()["fleet"], *(path.read_text() for path in RULES.glob("*.yml"))]
    # Of recorded names, such as component:ray_component_uss_bytes:sum, only what they are made of is exported.
    named = set(re.findall(r"(?<![\w:])ray_\w+(?!:)\b", "\n".join(asking))) - RARE
    assert len(named) > 15
    address = metrics_address(platform)

    def missing() -> set[str]:
        text = httpx.get(f"http://{address}/metrics", timeout=10).text
        return named - set(re.findall(r"^(ray_\w+)", text, re.MULTILINE))

    assert eventually(missing, lambda left: not left, timeout_s=60) == set()
