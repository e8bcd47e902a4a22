"""A week of a fleet: how far each vehicle drove, what it burnt, and who burns too much.

    CANFLEET_CLICKHOUSE=http://127.0.0.1:8123 python docs/examples/fleet_week.py north 2025-10-06

ClickHouse sends the week's minutes as an Arrow stream over HTTP, and polars computes with them: 10,080 rows a vehicle
and signal at most, where the values themselves would be sixty times as many.
"""

from __future__ import annotations

import os
import sys
from datetime import date

import httpx
import polars as pl

MINUTES = """
SELECT vehicle_id, signal, timestamp, mean, max
FROM signals_1m
WHERE fleet = {fleet:String} AND signal IN ('VehicleSpeed', 'FuelRate', 'CoolantTemperature')
    AND timestamp >= {monday:Date} AND timestamp < {monday:Date} + INTERVAL 7 DAY
"""


def minutes(fleet: str, monday: date, url: str, database: str = "canfleet") -> pl.DataFrame:
    """Mean and highest value of three signals, for each vehicle and minute of the week: one column each."""
    asked = {"database": database, "default_format": "ArrowStream", "output_format_arrow_string_as_string": "1"}
    parameters = {"param_fleet": fleet, "param_monday": monday.isoformat()}
    answer = httpx.post(url, params=asked | parameters, content=MINUTES, timeout=60)
    if answer.is_error:
        raise SystemExit(answer.text)
    rows = pl.read_ipc_stream(answer.content)
    return rows.pivot("signal", index=["vehicle_id", "timestamp"], values=["mean", "max"])


def week(rows: pl.DataFrame) -> pl.DataFrame:
    """By vehicle: hours, km, litres, l/100 km, and whether that is a fifth above what the fleet's middle burns."""
    per_100_km = 100 * pl.col("litres") / pl.col("km")
    return (
        rows.group_by("vehicle_id")
        .agg(
            hours=pl.len() / 60,
            km=pl.col("mean_VehicleSpeed").sum() / 60,
            litres=pl.col("mean_FuelRate").sum() / 60,
            hottest=pl.col("max_CoolantTemperature").max(),
        )
        .with_columns(per_100_km=per_100_km)
        .with_columns(thirsty=pl.col("per_100_km") > 1.2 * pl.col("per_100_km").median())
        .sort("per_100_km", descending=True)
    )


if __name__ == "__main__":
    name, first = sys.argv[1], date.fromisoformat(sys.argv[2])
    print(week(minutes(name, first, os.environ.get("CANFLEET_CLICKHOUSE", "http://127.0.0.1:8123"))))
