"""What the cookbook is asked of: a simulated fleet on two days, and a recorded drive, stored by a shard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clickhouse.client import Warehouse
from pipeline.config import load_config
from pipeline.decode.databases import load_catalogue
from pipeline.frames.dead_letters import DEAD_LETTERS
from pipeline.frames.logs import read_log
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode
from simulator import FLEET_DBC
from simulator.fleet import Fleet
from simulator.injections import Injections

SECOND = 1_000_000
DRIVES = [1_759_733_400, 1_760_460_900]
"""Monday, 6 October 2025, 06:50 UTC, and Tuesday of the next week, 16:55: when the fleet set out. Both pass an hour."""
SECONDS = 720
STEP_S = 6
"""Between two requests."""
FLEET = "nor'th"
"""A name that must be quoted well."""
VEHICLES = ["truck-0", "truck-1", "truck-2", "van-0", "van-1"]
MISSING = range(500, 507)
"""Sequence numbers of `truck-1` that never came, on the first day."""
NOW = "south"
"""A fleet of one vehicle that sent a moment ago."""
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
LETTERS = pa.RecordBatch.from_pylist([{"stage": "validate", "reason": "data_too_long", "payload": "{}"}], DEAD_LETTERS)


def fill(folder: Path, warehouse: Warehouse) -> None:
    """Five vehicles, two drives of twelve minutes, with anomalies, duplicates, late frames, a gap and dead letters."""
    store(folder, warehouse, FLEET_DBC, simulated())


def simulated() -> Iterator[Submission]:
    for start in DRIVES:
        unruly = Injections(duplicates=0.01, late=0.02, anomalies=0.5)
        fleet = Fleet(len(VEHICLES), 5.0, 7, injections=unruly, start_us=start * SECOND)
        for second in range(STEP_S, SECONDS + 1, STEP_S):
            until = (start + second) * SECOND
            batch = without_missing(named(fleet.tick(until)), start)
            yield Submission(FLEET, until + 200_000, f"request-{until}", batch, LETTERS)
    now = time.time_ns() // 1_000 - 60 * SECOND
    recent = Fleet(1, 5.0, 7, start_us=now)
    yield Submission(NOW, now + 30 * SECOND, "recent", recent.tick(now + 30 * SECOND), LETTERS.slice(1))


def named(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same frames, of vehicles whose ids begin with a model."""
    column = batch.column("vehicle_id")
    ids = pa.DictionaryArray.from_arrays(column.indices, pa.array(VEHICLES))
    return batch.set_column(batch.schema.get_field_index("vehicle_id"), batch.schema.field("vehicle_id"), ids)


def without_missing(batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
    if start != DRIVES[0]:
        return batch
    of_truck = pc.equal(batch["vehicle_id"].cast(pa.utf8()), "truck-1")
    gone = pc.and_(of_truck, pc.is_in(batch["sequence"], pa.array(MISSING, pa.uint64())))
    return batch.filter(pc.invert(gone))


def fill_with_drive(folder: Path, warehouse: Warehouse) -> tuple[int, int]:
    """Eleven minutes that a car recorded, as vehicle `car` of fleet `default`; first and last second."""
    frames = [batch.frames for i in (4, 5) for batch in read_log(SHARED / "logs" / f"drive-{i}.mf4", "car")]
    times = pa.chunked_array([batch["timestamp"].cast(pa.int64()) for batch in frames])
    first, last = pc.min(times).as_py() // SECOND, pc.max(times).as_py() // SECOND
    received = (last + 1) * SECOND
    submissions = (
        Submission("default", received, f"log-{i}", batch, LETTERS.slice(1)) for i, batch in enumerate(frames)
    )
    store(folder, warehouse, SHARED / "dbc" / "css" / "gnss.dbc", submissions)
    return first, last + 1


def store(folder: Path, warehouse: Warehouse, dbc: Path, submissions: Iterator[Submission]) -> None:
    settings = load_config(None, {"data_dir": folder, "dbc": [dbc]})
    shard = Shard(0, settings, load_catalogue(settings.profiles()), warehouse)
    waiting = map(encode, submissions)
    while together := list(islice(waiting, 40)):
        shard.commit(together)
        while shard.process_next(wait=False):
            pass
    while shard.store_next():
        pass
    assert shard.close()
