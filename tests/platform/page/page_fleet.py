"""Fleets for the page to show, and a visit to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
from platform_steps import as_json, canfleet
from playwright.sync_api import Page

from canfleet.child import ChildPlatform
from simulator.body import arrow_stream

BEGIN_US = int(time.time()) // 60 * 60_000_000 - 4 * 3_600_000_000
"""Where the charts of `gappy` begin: four hours ago."""
ENGINE, POSITION = 256, 2583692032 & 0x1FFFFFFF
CROWD = 10_000


@dataclass
class Visit:
    """A page that is open, and what went wrong on it."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, key: str, place: str = "") -> None:
        """Come with a key in the fragment, and go to a place of the page."""
        self.page.goto(f"{self.url}/#key={key}")
        self.page.wait_for_selector("#state.live")
        if place:
            self.go(place)

    def go(self, place: str) -> None:
        self.page.evaluate("place => { location.hash = place }", f"#/{place}")

    def width(self) -> int:
        """Pixels that the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def made_fleet(platform: ChildPlatform, name: str) -> str:
    scopes = [part for scope in ("ingest", "query", "admin") for part in ("--scope", scope)]
    return str(as_json(canfleet(platform, "keys", "create", "--fleet", name, *scopes, "--json"))["key"])


def send(platform: ChildPlatform, key: str, batch: pa.RecordBatch) -> None:
    headers = {"X-API-Key": key, "Content-Type": "application/vnd.apache.arrow.stream"}
    answer = httpx.post(f"{platform.url}/v1/frames", content=arrow_stream(batch), headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text


def frames(vehicles: Any, timestamps: Any, arbitration_id: int, data: Any) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "vehicle_id": pa.array(vehicles),
            "timestamp": pa.array(timestamps, pa.timestamp("us", tz="UTC")),
            "arbitration_id": pa.array(np.full(len(data), arbitration_id), pa.uint32()),
            "is_extended": pa.array(np.full(len(data), arbitration_id > 0x7FF)),
            "data": pa.array([row.tobytes() for row in data], pa.binary()),
        }
    )


def engine(rpm: Any) -> Any:
    """EngineData with this speed, the temperatures at 50 degrees."""
    words = np.round(np.asarray(rpm) * 4).astype(np.uint64)
    return (words | np.uint64((1000 << 36) + (1000 << 47))).astype("<u8").reshape(-1, 1)


def places(latitude: Any, longitude: Any) -> Any:
    return np.stack([np.round(latitude * 1e7), np.round(longitude * 1e7)], axis=1).astype("<i4")


def summary(platform: ChildPlatform, key: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(
        f"{platform.url}/v1/fleet/summary", headers={"X-API-Key": key}, timeout=30
    ).json()
    return answer
