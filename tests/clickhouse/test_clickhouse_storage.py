"""What the tables take is what is on disk, and a month is what it would be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clickhouse_process import HostProcess
from clickhouse_rows import START, canonical_frames, frame_rows, signal_rows, store
from typer.testing import CliRunner

from canfleet.__main__ import app
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import CostSettings, KeepSettings, RetentionSettings, WarehouseSettings
from pipeline.clickhouse.storage import LOOK_BACK_S, Tier, inserted_per_s, month, tiers
from pipeline.clickhouse.writer import Writer


def filled(warehouse: Warehouse) -> None:
    writer = Writer(warehouse)
    writer.insert_frames(frame_rows(canonical_frames(10_000, 1, counted=True)), "frames")
    store(writer, signal_rows(60_000, 1), "values")


def test_tiers_are_what_is_on_disk(tmp_path: Path) -> None:
    host = HostProcess(tmp_path / "clickhouse")
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url, storage_policy="hot_cold"))
    migrate(warehouse)
    filled(warehouse)
    week = warehouse.rows(f"SELECT toString(toMonday(fromUnixTimestamp64Micro({START}, 'UTC'))) AS week")[0]["week"]
    warehouse.command(f"ALTER TABLE frames MOVE PARTITION '{week}' TO VOLUME 'cold'")
    found = {(one.table, one.tier): one for one in tiers(warehouse)}
    assert found.keys() >= {("frames", "cold"), ("signals", "hot"), ("signals_1m_states", "hot")}
    assert (found["frames", "cold"].rows, found["signals", "hot"].rows) == (10_000, 60_000)
    cold = sum(path.stat().st_size for path in (tmp_path / "clickhouse/cold/store").rglob("*") if path.is_file())
    assert found["frames", "cold"].bytes == pytest.approx(cold, rel=0.02)
    assert found["frames", "cold"].usd_per_month == pytest.approx(found["frames", "cold"].bytes / 1e9 * 0.023)
    assert found["signals", "hot"].ratio > 1
    assert inserted_per_s(warehouse)["frames"] == pytest.approx(10_000 / LOOK_BACK_S)
    arguments = ["storage", "--clickhouse", host.url, "--rate", "50000"]
    shown = CliRunner().invoke(app, [*arguments, "--json"])
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    assert {(one["table"], one["tier"]): one["bytes"] for one in document["tiers"]} == {
        key: one.bytes for key, one in found.items()
    }
    taken = sum(one.bytes for one in found.values()) / 10_000
    assert document["month"]["bytes_per_frame"] == pytest.approx(taken)
    assert document["month"]["month_bytes"] == pytest.approx(taken * 50_000 * 86_400 * 30)
    table = CliRunner().invoke(app, arguments)
    assert table.exit_code == 0, table.output
    assert "at 50,000 frames/s" in table.stdout
    warehouse.close()
    assert host.terminate() == (0, "")


def test_a_month_and_what_is_kept() -> None:
    found = [
        Tier("frames", "hot", 1, 1_000, 20_000, 2.0, 0.0),
        Tier("frames", "cold", 1, 1_000, 10_000, 4.0, 0.0),
        Tier("signals", "hot", 1, 12_000, 24_000, 8.0, 0.0),
    ]
    retention = RetentionSettings(frames=KeepSettings(hot_days=2, days=5), signals=KeepSettings(days=10))
    ahead = month(found, retention, CostSettings(hot_usd_per_gb_month=1, cold_usd_per_gb_month=0.5), 10.0)
    assert ahead is not None
    day = 864_000
    assert ahead.bytes_per_frame == 20 + 6 * 2
    assert ahead.month_bytes == day * 30 * 32
    assert ahead.kept_hot_bytes == day * (2 * 20 + 10 * 12)
    assert ahead.kept_cold_bytes == day * 3 * 10
    assert ahead.kept_usd == pytest.approx((ahead.kept_hot_bytes + ahead.kept_cold_bytes / 2) / 1e9)
    assert month(found[2:], retention, CostSettings(), 10.0) is None
