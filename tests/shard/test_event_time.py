"""Event time rules: order of arrival, a wrong clock and a backfill change nothing about what the data say."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
from shard_feed import RECEIVED_US, START_US, batches, settle, shard, submission

from pipeline.clickhouse.client import Warehouse
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode

HOUR_US = 3_600_000_000
ROLLUPS = (
    "SELECT vehicle_id, timestamp, signal, count, min, max, last FROM {table} "
    "WHERE fleet = {{fleet:String}} ORDER BY ALL"
)


def shifted(batch: pa.RecordBatch, by_us: int) -> pa.RecordBatch:
    position = batch.schema.get_field_index("timestamp")
    field = batch.schema.field(position)
    moved = pa.array(batch.column("timestamp").cast(pa.int64()).to_numpy() + by_us).cast(field.type)
    return batch.set_column(position, field, moved)


def rollups(warehouse: Warehouse, fleet: str) -> list[list[dict[str, Any]]]:
    return [warehouse.rows(ROLLUPS.format(table=table), {"fleet": fleet}) for table in ("signals_1m", "signals_1h")]


def live(one: Shard, fleet: str, vehicles: int) -> list[Any]:
    return [one.latest(fleet, f"veh-{number:05d}") for number in range(vehicles)]


def windows_of(vehicle: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = [(signal["signal"], signal["window"]) for signal in vehicle["signals"] if signal["window"]]
    return [(name, w["end"], w["count"], w["min"], w["max"], w["last"]) for name, w in found]


def send(one: Shard, sent: list[pa.RecordBatch], fleet: str) -> None:
    for batch in sent:
        one.commit([submission(batch, fleet=fleet)])
    settle(one)


def test_frames_minutes_out_of_order_end_in_the_same_rollups_and_latest_values(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    one = shard(tmp_path, warehouse)
    sent = batches(150, vehicles=4)
    send(one, sent, "ordered")
    mixed = list(sent)
    random.Random(3).shuffle(mixed)
    send(one, mixed, "mixed")
    assert rollups(warehouse, "mixed") == rollups(warehouse, "ordered")
    for ordered, other in zip(live(one, "ordered", 4), live(one, "mixed", 4), strict=True):
        assert (other["last_seen"], other["frames"]) == (ordered["last_seen"], ordered["frames"])
        for a, b in zip(ordered["signals"], other["signals"], strict=True):
            assert {key: a[key] for key in a if key != "window"} == {key: b[key] for key in b if key != "window"}
    assert one.close()


def test_frames_out_of_order_within_the_lateness_end_in_the_same_windows(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    sent = batches(40, vehicles=4)
    send(one, sent, "ordered")
    swapped = [batch for i in range(0, len(sent), 4) for batch in reversed(sent[i : i + 4])]
    send(one, swapped, "mixed")
    windows = [windows_of(vehicle) for fleet in ("ordered", "mixed") for vehicle in live(one, fleet, 4)]
    assert windows[:4] == windows[4:]
    assert sum(map(len, windows)) > 100
    assert one.close()


def test_a_clock_an_hour_ahead_and_a_backfill_concern_their_vehicles_alone(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    sent = batches(30, vehicles=6)
    alone = shard(tmp_path / "alone", warehouse)
    send(alone, sent, "alone")
    one = shard(tmp_path / "one", warehouse)
    ahead = [shifted(batch, HOUR_US) for batch in batches(30, vehicles=1, seed=8)]
    yesterday = [shifted(batch, -24 * HOUR_US) for batch in batches(30, vehicles=1, seed=9)]
    for batch, early, late in zip(sent, ahead, yesterday, strict=True):
        one.commit(
            [submission(early, fleet="early"), submission(batch, fleet="beside"), submission(late, fleet="late")]
        )
    settle(one)
    assert live(one, "beside", 6) == live(alone, "alone", 6)
    assert rollups(warehouse, "beside") == rollups(warehouse, "alone")
    [newest] = [one.latest("early", "veh-00000")]
    assert newest is not None
    assert newest["last_seen"] > START_US + HOUR_US
    assert alone.close()
    assert one.close()


def test_yesterdays_drive_at_full_speed_ends_as_it_would_have_live(tmp_path: Path, warehouse: Warehouse) -> None:
    one = shard(tmp_path, warehouse)
    sent = batches(60, vehicles=2)
    send(one, sent, "live")
    whole = pa.Table.from_batches([shifted(batch, -24 * HOUR_US) for batch in sent]).combine_chunks().to_batches()
    for batch in whole:
        one.commit([encode(Submission("upload", RECEIVED_US, "log", batch))])
    settle(one)
    for ours, theirs in zip(live(one, "live", 2), live(one, "upload", 2), strict=True):
        for a, b in zip(ours["signals"], theirs["signals"], strict=True):
            assert (a["signal"], a["value"]) == (b["signal"], b["value"])
            assert a["timestamp"] - b["timestamp"] == 24 * HOUR_US
            if a["window"] is None:
                assert b["window"] is None
                continue
            assert a["window"]["end"] - b["window"]["end"] == 24 * HOUR_US
            assert (a["window"]["count"], a["window"]["mean"]) == (b["window"]["count"], b["window"]["mean"])
    counts = [[row["count"] for row in table] for table in rollups(warehouse, "upload")]
    assert counts == [[row["count"] for row in table] for table in rollups(warehouse, "live")]
    assert one.close()
