"""The example with polars, over the filled database."""

from __future__ import annotations

import runpy
from datetime import date
from pathlib import Path

import pytest
from sql_feed import FLEET, VEHICLES

from pipeline.clickhouse.client import Warehouse

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "fleet_week.py"
MONDAY = date(2025, 10, 6)


def test_a_week_of_the_fleet(filled: Warehouse) -> None:
    example = runpy.run_path(str(EXAMPLE))
    database = filled.settings.database
    found = example["week"](example["minutes"](FLEET, MONDAY, filled.settings.url, database))
    assert sorted(found["vehicle_id"]) == VEHICLES
    sql = """SELECT vehicle_id, max(value) - min(value) AS km FROM signals
        WHERE fleet = {fleet:String} AND signal = 'Odometer' AND timestamp < '2025-10-13' GROUP BY vehicle_id"""
    driven = {row["vehicle_id"]: row["km"] for row in filled.rows(sql, {"fleet": FLEET})}
    for row in found.iter_rows(named=True):
        assert row["km"] == pytest.approx(driven[row["vehicle_id"]], rel=0.05, abs=0.2)
        assert row["hours"] == pytest.approx(12 / 60)
        assert row["per_100_km"] == pytest.approx(100 * row["litres"] / row["km"])
        assert row["hottest"] > 60
    with pytest.raises(SystemExit, match="UNKNOWN_DATABASE"):
        example["minutes"](FLEET, MONDAY, filled.settings.url, "missing")
