"""Frames of a simulated fleet as submissions, and a shard on a folder."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pyarrow as pa

from pipeline.clickhouse.client import Warehouse
from pipeline.config import CanfleetConfig, load_config
from pipeline.decode.databases import load_catalogue
from pipeline.frames.dead_letters import DEAD_LETTERS
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode
from simulator import FLEET_DBC
from simulator.fleet import Fleet

START_US = 1_760_000_000_000_000
RECEIVED_US = START_US + 3_600_000_000


def config(folder: Path, **overrides: object) -> CanfleetConfig:
    return load_config(None, {"data_dir": folder, "dbc": [FLEET_DBC], **overrides})


def shard(folder: Path, warehouse: Warehouse, **overrides: object) -> Shard:
    settings = config(folder, **overrides)
    ticks = count(RECEIVED_US)
    return Shard(0, settings, load_catalogue(settings.profiles()), warehouse, clock=lambda: next(ticks))


def batches(seconds: int, vehicles: int = 20, seed: int = 1) -> list[pa.RecordBatch]:
    """One batch of canonical frames for each second."""
    fleet = Fleet(vehicles, 5.0, seed, start_us=START_US)
    return [fleet.tick(START_US + (i + 1) * 1_000_000) for i in range(seconds)]


def uncounted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same frames from vehicles that keep no counter."""
    for name in ("session", "sequence"):
        field = batch.schema.field(name)
        batch = batch.set_column(batch.schema.get_field_index(name), field, pa.nulls(len(batch), field.type))
    return batch


def submission(batch: pa.RecordBatch, fleet: str = "default", reasons: tuple[str, ...] = ()) -> bytes:
    letters = None
    if reasons:
        rows = [{"stage": "validate", "reason": reason, "payload": "{}"} for reason in reasons]
        letters = pa.RecordBatch.from_pylist(rows, DEAD_LETTERS)
    return encode(Submission(fleet, RECEIVED_US, "request", batch, letters))


def settle(one: Shard) -> None:
    """Process and store all that waits."""
    while one.process_next(wait=False):
        pass
    while one.store_next():
        pass


def stored(warehouse: Warehouse) -> dict[str, int]:
    [row] = warehouse.rows(
        "SELECT (SELECT count() FROM frames) AS frames, (SELECT count() FROM signals) AS signals,"
        " (SELECT uniqExact(fleet, vehicle_id, timestamp, arbitration_id, data) FROM frames) AS distinct_frames,"
        " (SELECT sum(count) FROM signals_1m) AS minutes, (SELECT sum(count) FROM signals_1h) AS hours,"
        " (SELECT count() FROM dead_letters) AS dead_letters, (SELECT count() FROM anomalies) AS anomalies"
    )
    return {name: int(value) for name, value in row.items()}
