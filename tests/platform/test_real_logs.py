"""Recorded drives through the running platform: every frame, every value, and nothing twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import can
import cantools
import httpx
import numpy as np
import pytest
from platform_data import GNSS, J1939, SHARED
from platform_steps import canfleet, count, eventually

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse

pytestmark = [
    pytest.mark.platform,
    pytest.mark.skipif(not SHARED.exists(), reason="the real logs of ../shared/data are not here"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

DRIVES = [SHARED / "logs" / f"drive-{number}.mf4" for number in (1, 5)]
DRIVE_FRAMES = 65_296 + 5_477


def values_by_cantools(paths: list[Path], database: Path) -> Counter[tuple[str, str, float]]:
    loaded = cantools.database.load_file(database)
    found: Counter[tuple[str, str, float]] = Counter()
    for path in paths:
        with can.LogReader(path) as log:
            frames = list(log)
        for frame in frames:
            try:
                message = loaded.get_message_by_frame_id(frame.arbitration_id)
                values = message.decode(frame.data, decode_choices=False)
            except (KeyError, cantools.database.DecodeError):
                continue
            for name, value in values.items():
                found[message.name, name, float(value)] += 1
    return found


def test_a_drive_ends_with_exactly_its_frames_and_values(
    platform: ChildPlatform, http: httpx.Client, live_warehouse: Warehouse
) -> None:
    paths = [str(path) for path in DRIVES]
    for _ in range(2):
        done = canfleet(platform, "replay", *paths, "--vehicle", "drive")
        assert done.returncode == 0, done.stderr
        stored = eventually(lambda: count(live_warehouse, "frames", "drive"), lambda n: n >= DRIVE_FRAMES)
        assert stored == DRIVE_FRAMES
        eventually(lambda: http.get("/v1/ledger").json()["pending"], lambda pending: pending == 0)
    assert count(live_warehouse, "frames", "drive") == DRIVE_FRAMES
    rows = live_warehouse.arrow(
        "SELECT message, signal, value, count() AS n FROM signals WHERE vehicle_id = 'drive' GROUP BY ALL"
    )
    columns = (rows.column(name).to_pylist() for name in ("message", "signal", "value", "n"))
    stored_values = {(message, signal, value): n for message, signal, value, n in zip(*columns, strict=True)}
    assert stored_values == dict(values_by_cantools(DRIVES, GNSS))
    latest = {s["signal"]: s["value"] for s in http.get("/v1/vehicles/drive/latest").json()["signals"]}
    assert latest["Latitude"] == pytest.approx(55.87, abs=0.1)
    assert latest["Longitude"] == pytest.approx(9.86, abs=0.1)
    assert np.isfinite(latest["Speed"])


def test_a_j1939_truck_decodes_by_pgn(platform: ChildPlatform, http: httpx.Client, live_warehouse: Warehouse) -> None:
    path = SHARED / "logs" / "truck-j1939.mf4"
    assert canfleet(platform, "replay", str(path), "--vehicle", "truck").returncode == 0
    assert eventually(lambda: count(live_warehouse, "frames", "truck"), lambda n: n >= 1815) == 1815
    assert J1939.exists()
    assert eventually(lambda: count(live_warehouse, "signals", "truck"), lambda n: n > 0) > 0
    answer = http.post("/v1/logs", params={"vehicle_id": "truck", "filename": "again.mf4"}, content=path.read_bytes())
    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (0, 1815)
