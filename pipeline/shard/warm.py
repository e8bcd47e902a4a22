"""Warm: compile every kernel a shard uses, before its first frame waits for them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.clickhouse.order import in_table_order
from pipeline.config import CanfleetConfig
from pipeline.decode.catalogue import Catalogue
from pipeline.dedup.filter import DuplicateFilter
from pipeline.frames.schema import CANONICAL, TIMESTAMP
from pipeline.gaps.sequence_gaps import SequenceGaps
from pipeline.shard.anomaly_log import AnomalyLog
from pipeline.shard.group import build_group
from pipeline.shard.insert_rows import NameColumns, Processed, frame_rows, minute_rows, signal_rows, value_columns
from pipeline.shard.minutes import Minutes
from pipeline.shard.process import Processor
from pipeline.submission import Submission, decode_accepted, encode, encode_accepted
from pipeline.vehicles import VehicleIndex
from pipeline.verdicts import NEW
from pipeline.windows.sliding import SlidingWindows

_VEHICLES: Final = 3_000
"""Enough that every table outgrows its first size, so that what grows them is compiled too."""


def warm(config: CanfleetConfig, catalogue: Catalogue) -> None:
    """Send a few thousand frames through throw-away copies of all that a shard computes with.

    Seconds where kernels must be compiled, a fraction of one where they come from numba's cache.
    """
    vehicles = VehicleIndex()
    duplicates = DuplicateFilter(config.duplicates)
    processor = Processor(config, catalogue, vehicles)
    processor.warm()
    for part in (DuplicateFilter, SequenceGaps, SlidingWindows, processor.latest, processor.series):
        part.warm()
    names = NameColumns(catalogue, vehicles)
    minutes = Minutes()
    for round_ in range(3):
        submission = encode(Submission("warm", 0, "warm", _frames(catalogue, round_)))
        record = decode_accepted(b"".join(map(bytes, encode_accepted(submission, np.full(_VEHICLES, NEW, np.uint8)))))
        group = build_group(0, 1, [record], vehicles)
        duplicates.check(group.frames.vehicle, group.frames)
        duplicates.mark(group.frames.vehicle, group.frames, np.ones(len(group), np.bool_))
        item = Processed(group, processor.process(group, AnomalyLog(), 0))
        names.refresh()
        values = value_columns([item], None)
        minutes.add(*values)
        in_table_order(frame_rows([item], None, names), ("fleet", "vehicle_id"))
        in_table_order(signal_rows(values, names), ("fleet", "vehicle_id", "signal"))
    minute_rows(minutes.flush(), names)
    processor.windows.aggregate(np.zeros(1, np.int32))
    processor.restore(processor.snapshot())


def _frames(catalogue: Catalogue, round_: int) -> pa.RecordBatch:
    """One frame of each vehicle, of a message that the databases know where there is one; half of them counted."""
    known = [message for message in catalogue.messages[:8] if message.signal_count] or list(catalogue.messages[:1])
    ids = [message.arbitration_id for message in known] or [0]
    extended = [message.is_extended for message in known] or [False]
    number = np.arange(_VEHICLES)
    which = (number + round_) % len(ids)
    counted = number % 2 == 0
    return pa.RecordBatch.from_arrays(
        [
            pa.DictionaryArray.from_arrays(pa.array(number, pa.int32()), pa.array([f"v{i}" for i in number])),
            pa.array(1_000_000 + 45_000_000 * round_ + number, TIMESTAMP),
            pa.array(np.array(ids, np.uint32)[which]),
            pa.array([bytes(8)] * _VEHICLES),
            pa.array(np.array(extended)[which]),
            pa.array(np.zeros(_VEHICLES, np.uint8)),
            pa.array(np.ones(_VEHICLES, np.uint32), mask=~counted),
            pa.array(number.astype(np.uint64) + np.uint64(round_), mask=~counted),
        ],
        schema=CANONICAL,
    )
