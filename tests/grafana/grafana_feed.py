"""A simulated fleet's frames, through a shard and the real writer, in ClickHouse: what the dashboards look at."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clickhouse.client import Warehouse
from pipeline.config import load_config
from pipeline.decode.databases import load_catalogue
from pipeline.frames.dead_letters import DEAD_LETTERS
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode
from simulator import FLEET_DBC
from simulator.fleet import Fleet
from simulator.injections import Injections

START = 1_760_000_000
"""Seconds; the first frame's time."""
SECONDS = 420
GAP = (START + 200, START + 290)
"""Nothing of `veh-00000` came between."""
FLEET = "nor'th"
"""A name that must be quoted well."""
VEHICLE = "veh-00000"


def fill(folder: Path, warehouse: Warehouse) -> None:
    """Eight vehicles for seven minutes, with anomalies, and a few dead letters."""
    settings = load_config(None, {"data_dir": folder, "dbc": [FLEET_DBC]})
    clock = count((START + SECONDS) * 1_000_000)
    shard = Shard(0, settings, load_catalogue(settings.profiles()), warehouse, clock=lambda: next(clock))
    fleet = Fleet(8, 20.0, 3, injections=Injections(anomalies=2.0), start_us=START * 1_000_000)
    letters = pa.RecordBatch.from_pylist(
        [{"stage": "validate", "reason": "data_too_long", "payload": "{}"}], DEAD_LETTERS
    )
    for second in range(10, SECONDS + 1, 10):
        batch = without_gap(fleet.tick((START + second) * 1_000_000))
        received = (START + second) * 1_000_000 + 300_000
        shard.commit([encode(Submission(FLEET, received, f"request-{second}", batch, letters))])
        while shard.process_next(wait=False):
            pass
    while shard.store_next():
        pass
    assert shard.close()


def without_gap(batch: pa.RecordBatch) -> pa.RecordBatch:
    seconds = pc.divide(pc.cast(batch["timestamp"], pa.int64()), 1_000_000)
    inside = pc.and_(pc.greater_equal(seconds, GAP[0]), pc.less(seconds, GAP[1]))
    return batch.filter(pc.invert(pc.and_(inside, pc.equal(batch["vehicle_id"].cast(pa.utf8()), VEHICLE))))
