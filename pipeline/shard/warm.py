"""Warm: compile every kernel a shard uses, before its first frame waits for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.config import CanfleetConfig
from pipeline.decode.catalogue import Catalogue
from pipeline.dedup.filter import DuplicateFilter
from pipeline.frames.schema import CANONICAL, TIMESTAMP
from pipeline.shard.anomaly_log import AnomalyLog
from pipeline.shard.group import build_group
from pipeline.shard.minutes import Minutes
from pipeline.shard.process import Processor
from pipeline.submission import Submission, decode_accepted, encode, encode_accepted
from pipeline.vehicles import VehicleIndex
from pipeline.verdicts import NEW
from pipeline.windows.sliding import SlidingWindows


def warm(config: CanfleetConfig, catalogue: Catalogue) -> None:
    """Send two frames through throw-away copies of all that a shard computes with.

    Seconds where kernels must be compiled, a fraction of one where they come from numba's cache.
    """
    first = catalogue.messages[0] if catalogue.messages else None
    frames = pa.RecordBatch.from_arrays(
        [
            pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["warm"])),
            pa.array([1_000_000, 2_000_000], TIMESTAMP),
            pa.array([first.arbitration_id if first else 0] * 2, pa.uint32()),
            pa.array([bytes(8)] * 2),
            pa.array([first.is_extended if first else False] * 2),
            pa.array([0, 0], pa.uint8()),
            pa.array([1, None], pa.uint32()),
            pa.array([1, None], pa.uint64()),
        ],
        schema=CANONICAL,
    )
    submission = encode(Submission("warm", 0, "warm", frames))
    record = decode_accepted(b"".join(map(bytes, encode_accepted(submission, np.full(2, NEW, np.uint8)))))
    vehicles = VehicleIndex()
    group = build_group(0, 1, [record], vehicles)
    duplicates = DuplicateFilter(config.duplicates)
    duplicates.check(group.frames.vehicle, group.frames)
    duplicates.mark(group.frames.vehicle, group.frames, np.ones(2, np.bool_))
    processor = Processor(config, catalogue, vehicles)
    processor.warm()
    processor.process(group, AnomalyLog(), 0)
    # Arrays that own their memory and arrays over bytes are different types to the compiler.
    owned = {name: np.array(getattr(group.frames, name)) for name in _COLUMNS}
    processor.process(replace(group, frames=replace(group.frames, **owned)), AnomalyLog(), 0)
    processor.windows.aggregate(np.zeros(1, np.int32))
    gathered = Minutes()
    gathered.add(np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1, np.int64), np.zeros(1))
    for part in (DuplicateFilter, SlidingWindows, processor.latest, processor.series):
        part.warm()


_COLUMNS = (
    "vehicle",
    "timestamp",
    "arbitration_id",
    "is_extended",
    "channel",
    "offsets",
    "payload",
    "counted",
    "session",
    "sequence",
)
