"""The cookbook's answers, against the same computed with polars from the plain rows."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from sql_cookbook import GIVEN, asked, question
from sql_feed import DRIVES, FLEET, MISSING, SECONDS, STEP_S, VEHICLES

from pipeline.clickhouse.client import Warehouse

SECOND_US = 1_000_000


@pytest.fixture(scope="module")
def signals(filled: Warehouse) -> pl.DataFrame:
    return plain(filled, "SELECT *, toUnixTimestamp64Micro(timestamp) AS us FROM signals WHERE fleet = {fleet:String}")


@pytest.fixture(scope="module")
def frames(filled: Warehouse) -> pl.DataFrame:
    columns = "* EXCEPT (data), hex(data) AS data, toUnixTimestamp64Micro(timestamp) AS us"
    return plain(filled, f"SELECT {columns} FROM frames WHERE fleet = {{fleet:String}}")


def plain(warehouse: Warehouse, sql: str) -> pl.DataFrame:
    return pl.DataFrame(warehouse.arrow(sql, {"fleet": FLEET}))


def us(time: datetime) -> int:
    return round(time.timestamp() * SECOND_US)


def answer(warehouse: Warehouse, number: int) -> list[dict[str, Any]]:
    rows = warehouse.rows(question(number).sql, asked(number))
    assert rows
    return rows


def ordered(signals: pl.DataFrame, signal: str, *keys: str) -> pl.DataFrame:
    return signals.filter(pl.col("signal") == signal).sort(*keys, "us")


def test_frames_by_id(filled: Warehouse, frames: pl.DataFrame) -> None:
    mine = frames.filter(pl.col("vehicle_id") == "truck-0")
    expected = mine.group_by("arbitration_id").len()
    told = {int(row["id"], 16): row["frames"] for row in answer(filled, 2)}
    assert told == dict(expected.iter_rows())


def test_last_values(filled: Warehouse, signals: pl.DataFrame) -> None:
    last = ordered(signals, "CoolantTemperature", "vehicle_id").group_by("vehicle_id").agg(pl.col("value").last())
    assert {row["vehicle_id"]: row["value"] for row in answer(filled, 3)} == dict(last.iter_rows())


def test_minutes_of_a_day_and_hours_of_a_fleet(filled: Warehouse, signals: pl.DataFrame) -> None:
    """Both drives pass an hour. Times of rollups are seconds here."""
    speed = ordered(signals, "VehicleSpeed").filter(pl.col("vehicle_id") == "truck-0", pl.col("us") < day_after())
    minutes = speed.group_by(pl.col("us") // (60 * SECOND_US) * 60).agg(
        pl.len(), pl.col("value").min().alias("min"), pl.col("value").max().alias("max")
    )
    told = answer(filled, 4)
    assert {(row["timestamp"], row["count"], row["min"], row["max"]) for row in told} == set(minutes.iter_rows())
    assert len(told) == SECONDS // 60
    engine = ordered(signals, "EngineSpeed")
    hours = engine.group_by(pl.col("us") // (3_600 * SECOND_US) * 3_600).agg(pl.len(), pl.col("value").mean())
    expected = {hour: (count, pytest.approx(mean)) for hour, count, mean in hours.iter_rows()}
    assert {row["hour"]: (row["count"], row["mean"]) for row in answer(filled, 5)} == expected
    assert len(expected) == 4


def day_after() -> int:
    return (DRIVES[0] + 86_400) * SECOND_US


def test_late_frames(filled: Warehouse, frames: pl.DataFrame) -> None:
    late = (pl.col("received_at").dt.epoch("us") - pl.col("us")) / 1e6
    expected = frames.group_by("vehicle_id").agg(pl.len(), (late > 2).sum().alias("late"), late.max().alias("most"))
    told = {row["vehicle_id"]: (row["frames"], row["late"], row["most"]) for row in answer(filled, 8)}
    assert told == {v: (n, some, pytest.approx(most, abs=6e-4)) for v, n, some, most in expected.iter_rows()}


def held(signals: pl.DataFrame, signal: str) -> pl.DataFrame:
    """Each value with the seconds it held, ten at most."""
    seconds = ((pl.col("us").shift(-1) - pl.col("us")) / 1e6).over("vehicle_id").fill_null(0).clip(upper_bound=10)
    return ordered(signals, signal, "vehicle_id").with_columns(seconds.alias("seconds"))


def test_time_above_a_limit(filled: Warehouse, signals: pl.DataFrame) -> None:
    above = pl.col("value") > GIVEN[11]["limit"]
    expected = (
        held(signals, "VehicleSpeed")
        .group_by("vehicle_id")
        .agg(pl.col("seconds").filter(above).sum().alias("above"), pl.col("seconds").sum())
    )
    told = {row["vehicle_id"]: (row["above"], row["seen"]) for row in answer(filled, 11)}
    assert told == {v: pytest.approx(seconds, abs=0.06) for v, *seconds in expected.iter_rows()}
    assert any(seconds for seconds, _ in told.values())


def test_distance_is_the_odometers(filled: Warehouse, signals: pl.DataFrame) -> None:
    """An anomaly of the speed adds metres that were not driven."""
    by_day = ["vehicle_id", pl.col("timestamp").dt.date().alias("day")]
    driven = ordered(signals, "Odometer").group_by(by_day).agg(pl.col("value").max() - pl.col("value").min())
    told = {(row["vehicle_id"], row["day"]): row["km"] for row in answer(filled, 12)}
    assert told == {(v, day): pytest.approx(km, rel=0.05, abs=0.15) for v, day, km in driven.iter_rows()}
    assert len(told) == 2 * len(VEHICLES)


def paired(signals: pl.DataFrame, one: str, other: str, seconds: int) -> pl.DataFrame:
    a, b = (ordered(signals, name).select("vehicle_id", "us", "value") for name in (one, other))
    joined = a.join_asof(b.with_columns(pl.col("us").alias("us_b")), on="us", by="vehicle_id", check_sortedness=False)
    return joined.filter(pl.col("us") < pl.col("us_b") + seconds * SECOND_US)


def test_idling(filled: Warehouse, signals: pl.DataFrame) -> None:
    running = paired(signals, "VehicleSpeed", "EngineSpeed", 10).filter(pl.col("value_right") > 0)
    expected = running.group_by("vehicle_id").agg(pl.len(), ((pl.col("value") < 1).mean() * 100).alias("percent"))
    told = {row["vehicle_id"]: (row["samples"], row["idle_percent"]) for row in answer(filled, 13)}
    assert told == {v: (n, pytest.approx(percent, abs=0.051)) for v, n, percent in expected.iter_rows()}
    assert any(percent > 0 for _, percent in told.values())


def test_starts(filled: Warehouse, signals: pl.DataFrame) -> None:
    found = answer(filled, 14)
    assert len(found) == 2 * len(VEHICLES)
    drive = pl.col("timestamp").dt.date()
    first = ordered(signals, "BatteryVoltage").group_by("vehicle_id", drive, maintain_order=True).first()
    expected = set(zip(first["vehicle_id"], first["us"], first["value"], strict=True))
    assert {(row["vehicle_id"], us(row["started_at"]), row["volts"]) for row in found} == expected


def test_runs_above_a_limit(filled: Warehouse, signals: pl.DataFrame) -> None:
    """Minute by minute, as one would go through them by hand."""
    limit, least = GIVEN[15]["limit"], GIVEN[15]["minutes"]
    minutes = (
        ordered(signals, "CoolantTemperature", "vehicle_id")
        .group_by("vehicle_id", pl.col("us") // (60 * SECOND_US), maintain_order=True)
        .agg(pl.col("value").min())
    )
    runs: list[list[Any]] = []
    for vehicle, minute, lowest in minutes.iter_rows():
        if lowest <= limit:
            continue
        if runs and runs[-1][0] == vehicle and minute == runs[-1][1] + runs[-1][2]:
            runs[-1][2] += 1
        else:
            runs.append([vehicle, minute, 1])
    told = sorted([row["vehicle_id"], row["since"] // 60, row["minutes"]] for row in answer(filled, 15))
    assert told == [run for run in runs if run[2] > least]


def test_correlation(filled: Warehouse, signals: pl.DataFrame) -> None:
    pairs = paired(signals, "EngineLoad", "EngineTorque", 2)
    expected = pairs.group_by("vehicle_id").agg(pl.len(), pl.corr("value", "value_right").alias("correlation"))
    told = {row["vehicle_id"]: (row["pairs"], row["correlation"]) for row in answer(filled, 16)}
    assert told == {v: (n, pytest.approx(r, abs=1e-4)) for v, n, r in expected.iter_rows()}


def test_gears(filled: Warehouse, signals: pl.DataFrame) -> None:
    gears = held(signals, "Gear").filter(pl.col("vehicle_id") == "truck-0")
    entered = (pl.col("value") != pl.col("value").shift(1)).fill_null(True)
    expected = (
        gears.with_columns(entered.alias("entered"))
        .group_by("value")
        .agg(pl.col("entered").sum(), pl.col("seconds").sum())
    )
    told = {row["state"]: (row["entered"], row["in_it"]) for row in answer(filled, 17)}
    assert told == {gear: (n, pytest.approx(seconds, abs=0.06)) for gear, n, seconds in expected.iter_rows()}
    assert len(told) > 2


def test_cycle_times(filled: Warehouse, frames: pl.DataFrame) -> None:
    mine = frames.filter(pl.col("vehicle_id") == "truck-0").sort("arbitration_id", "us")
    ms = mine.with_columns((pl.col("us").diff().over("arbitration_id") / 1_000).alias("ms")).drop_nulls("ms")
    jitter, most = pl.col("ms").std(ddof=0).alias("jitter"), pl.col("ms").max().alias("most")
    expected = ms.group_by("arbitration_id").agg(pl.len().cast(pl.Float64), jitter, most)
    told = {int(row["id"], 16): (row["cycles"], row["jitter"], row["most"]) for row in answer(filled, 19)}
    assert told == {one: pytest.approx(numbers, abs=6e-4) for one, *numbers in expected.iter_rows()}


def test_missing_sequence_numbers(filled: Warehouse) -> None:
    found = answer(filled, 20)
    mine = [(row["first"], row["last"], row["missing"]) for row in found if row["vehicle_id"] == "truck-1"]
    assert (MISSING.start, MISSING.stop - 1, len(MISSING)) in mine


def test_bits(filled: Warehouse, frames: pl.DataFrame) -> None:
    mine = frames.filter(pl.col("vehicle_id") == "truck-0", pl.col("arbitration_id") == 320).sort("us")
    flips: dict[tuple[int, int], int] = {}
    data = [bytes.fromhex(one) for one in mine["data"]]
    for before, after in pairwise(data):
        for byte, (old, new) in enumerate(zip(before, after, strict=True)):
            for bit in range(8):
                if (old ^ new) >> bit & 1:
                    flips[byte, bit] = flips.get((byte, bit), 0) + 1
    assert {(row["byte"], row["bit_of_byte"]): row["flips"] for row in answer(filled, 21)} == flips


def test_anomalies_and_dead_letters_are_all_there(filled: Warehouse) -> None:
    [counted] = filled.rows("SELECT (SELECT count() FROM anomalies) AS a, (SELECT count() FROM dead_letters) AS d")
    anomalies, letters = counted["a"], counted["d"]
    assert sum(row["anomalies"] for row in answer(filled, 6)) == anomalies > 5
    assert sum(row["letters"] for row in answer(filled, 7)) == letters == 2 * SECONDS // STEP_S


def test_days_on_disk_count_every_row(filled: Warehouse, frames: pl.DataFrame, signals: pl.DataFrame) -> None:
    told = {(row["table"], row["day"]): row["rows"] for row in answer(filled, 9)}
    for name, table in (("frames", frames), ("signals", signals)):
        for day, count in table.group_by(pl.col("timestamp").dt.date()).len().iter_rows():
            assert told[name, day] == count
