"""A signal over time of a whole fleet, on the real engine: what is inserted as minutes adds up to the fleet's hours."""

from __future__ import annotations

import numpy as np
import pytest
from clickhouse_process import HostProcess
from clickhouse_rows import START, signal_rows, store

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.fleet_history import fleet_history
from pipeline.clickhouse.migrate import known_migrations
from pipeline.clickhouse.resolution import DAY, HOUR
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import Writer

BEGIN, END = START // HOUR * HOUR, (START + 3 * DAY) // HOUR * HOUR


@pytest.mark.parametrize(("asked", "step"), [(None, HOUR), (60, HOUR), (6 * HOUR, 6 * HOUR)])
def test_hours_of_all_vehicles(warehouse: Warehouse, asked: int | None, step: int) -> None:
    batch = signal_rows(20_000, 1)
    store(Writer(warehouse), batch, "a")
    store(Writer(warehouse), batch, "a")  # sent again, as after a crash
    store(Writer(warehouse), signal_rows(500, 2, fleet="other"), "b")
    rows = batch.to_pandas()
    rows["us"] = rows["timestamp"].astype("int64")
    mine = rows[(rows.signal == "Speed") & np.isfinite(rows.value) & (rows.us >= BEGIN) & (rows.us < END)]
    chosen, points = fleet_history(warehouse, "acme", "Speed", start=BEGIN, end=END, step=asked)
    assert chosen == step
    expected = mine.groupby(mine.us // step * step).value.agg(["count", "min", "max", "mean"])
    assert [point["timestamp"] for point in points] == expected.index.tolist()
    for point, (_, row) in zip(points, expected.iterrows(), strict=True):
        assert (point["count"], point["min"], point["max"]) == (row["count"], row["min"], row["max"])
        assert point["mean"] == pytest.approx(row["mean"])
    message = str(mine.message.iloc[0])
    _, of_message = fleet_history(warehouse, "acme", "Speed", start=BEGIN, end=END, step=DAY, message=message)
    assert sum(point["count"] for point in of_message) == (mine.message == message).sum()
    assert fleet_history(warehouse, "acme", "Speed", start=BEGIN, end=END, message="Nothing")[1] == []


def test_hours_of_before_are_taken_over_once(host: HostProcess) -> None:
    known = known_migrations()
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database="hours_before", storage_policy="hot_cold"))
    before = [one for one in known if one.number < 9]
    warehouse.command("CREATE DATABASE hours_before", database="default")
    for one in before:
        for statement in one.statements("hot_cold"):
            warehouse.command(statement)
    store(Writer(warehouse), signal_rows(5_000, 3), "a")
    for statement in known[8].statements("hot_cold"):
        warehouse.command(statement)
        if statement.startswith("INSERT"):  # cut off behind it, and run again from the start
            warehouse.command(statement)
    store(Writer(warehouse), signal_rows(5_000, 4), "b")
    [counts] = warehouse.rows(
        "SELECT (SELECT sum(count) FROM signals_1h_states) AS vehicles,"
        " (SELECT sum(count) FROM fleet_signals_1h_states) AS fleet"
    )
    assert counts["vehicles"] == counts["fleet"] > 5_000
    warehouse.close()
