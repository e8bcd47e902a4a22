"""The numeric core on one core, in this process: the decoder against cantools, and all that a shard computes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.decode.decoder import Decoder
from pipeline.dedup.filter import DuplicateFilter
from pipeline.errors import ConfigError
from pipeline.frames.columns import FrameColumns
from pipeline.frames.logs import read_log
from pipeline.frames.split import concat
from pipeline.frames.vehicles import frozen
from pipeline.shard.anomaly_log import AnomalyLog
from pipeline.shard.group import Group, shard_columns
from pipeline.shard.process import Processor
from pipeline.shard.warm import warm
from pipeline.types import I64
from pipeline.vehicles import VehicleIndex
from pipeline.verdicts import NEW
from simulator import FLEET_DBC
from simulator.fleet import Fleet

GROUP_FRAMES: Final = 50_000
"""Frames of a group: what a shard is handed in a second at 50,000 frames/s, or in a third of one at 150,000."""
_CANTOOLS_FRAMES: Final = 30_000
_PASSES: Final = 7
_VEHICLE_HZ: Final = 5.0


@contextmanager
def one_core() -> Iterator[int]:
    """Bind this process to one of its cores for the time of the context; yields the core's number."""
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, allowed)


def fleet_frames(vehicles: int, frames: int) -> FrameColumns:
    """Frames of a simulated fleet that is on the road for 20 s."""
    fleet = Fleet(vehicles, _VEHICLE_HZ)
    fleet.tick(fleet.start_us + 20_000_000)
    return FrameColumns.from_batch(fleet.tick(fleet.start_us + 20_000_000 + _span_us(vehicles, frames)))


def log_frames(log: Path) -> FrameColumns:
    """All frames of a recorded log.

    Raises:
        ConfigError: there are none.
    """
    batches = [part.frames for part in read_log(log, "log")]
    if not batches:
        raise ConfigError(f"log file {log} holds no frames")
    return FrameColumns.from_batch(concat(batches))


def measure_decoder(frames: FrameColumns, dbc: Path = FLEET_DBC) -> dict[str, Any]:
    """The decoder against cantools' `decode_message`, both on the frames whose id the database knows.

    cantools runs as fast as it can: choices stay numbers, and only its calls are timed, with ids and data made ready
    before. CPU time of this process, which other processes on the machine do not lengthen; the median of passes.

    Returns:
        frames, values_per_frame, cantools_ns and decoder_ns a frame, ratio.

    Raises:
        DatabaseError: the database does not load.
        ConfigError: it knows none of the frames.
    """
    from cantools.database import load_file

    database = load_file(dbc, strict=False)
    decoder = Decoder(load_catalogue({"default": (dbc,)}))
    known = np.flatnonzero(decoder.decode(frames).message >= 0)
    if not len(known):
        raise ConfigError(f"{dbc.name} knows none of the frames to measure with")
    frames = _rows(frames, known)
    sample = [
        (int(frames.arbitration_id[row]), frames.payload[frames.offsets[row] : frames.offsets[row + 1]].tobytes())
        for row in range(min(len(frames), _CANTOOLS_FRAMES))
    ]

    def with_cantools() -> None:
        decode = database.decode_message
        for arbitration_id, data in sample:
            decode(arbitration_id, data, decode_choices=False, allow_truncated=True)

    values = len(decoder.decode(frames).value)
    cantools_ns = _median_ns(with_cantools) / len(sample)
    decoder_ns = _median_ns(lambda: decoder.decode(frames)) / len(frames)
    return {
        "database": dbc.name,
        "frames": len(frames),
        "values_per_frame": values / len(frames),
        "cantools_ns": cantools_ns,
        "decoder_ns": decoder_ns,
        "ratio": cantools_ns / decoder_ns,
    }


def measure_core(vehicles: int, groups: int = 60) -> dict[str, Any]:
    """Everything that a shard computes for a frame: duplicates checked and marked, values, windows, anomalies.

    A fleet drives for 20 s of event time, so that every vehicle and signal has its state; then `groups` groups are
    timed. Making frames is not. CPU time, as in `measure_decoder`.

    Returns:
        frames, values_per_frame, ns a frame in all (the median group), frames_per_s, wall_frames_per_s, and the parts
        duplicates_ns and process_ns.
    """
    config = CanfleetConfig(dbc=(FLEET_DBC,))
    catalogue = load_catalogue(config.profiles())
    warm(config, catalogue)
    index = VehicleIndex()
    duplicates, processor, log = DuplicateFilter(config.duplicates), Processor(config, catalogue, index), AnomalyLog()
    parts: list[tuple[int, int, int, int]] = []
    values = 0
    warm_groups = int(20 * vehicles * _VEHICLE_HZ / GROUP_FRAMES) + 1
    for number, group in enumerate(_groups(vehicles, warm_groups + groups, index)):
        frames = group.frames
        wall, begin = time.perf_counter_ns(), time.process_time_ns()
        verdicts = duplicates.check(frames.vehicle, frames)
        duplicates.mark(frames.vehicle, frames, verdicts == NEW)
        middle = time.process_time_ns()
        made = processor.process(group, log, 0)
        end = time.process_time_ns()
        if number >= warm_groups:
            parts.append((len(frames), middle - begin, end - middle, time.perf_counter_ns() - wall))
            values += len(made.row)
    n, first, second, wall_ns = np.array(parts, np.float64).T
    ns = float(np.median((first + second) / n))
    return {
        "vehicles": vehicles,
        "frames": int(n.sum()),
        "values_per_frame": values / float(n.sum()),
        "ns": ns,
        "duplicates_ns": float(np.median(first / n)),
        "process_ns": float(np.median(second / n)),
        "frames_per_s": 1e9 / ns,
        "wall_frames_per_s": float(1e9 / np.median(wall_ns / n)),
    }


def _groups(vehicles: int, count: int, index: VehicleIndex) -> Iterator[Group]:
    fleet = Fleet(vehicles, _VEHICLE_HZ)
    until_us = fleet.start_us
    for number in range(count):
        until_us += _span_us(vehicles, GROUP_FRAMES)
        frames = shard_columns(fleet.tick(until_us), "default", index)
        received_at: I64 = np.full(len(frames), until_us, np.int64)
        yield Group(number, number + 1, frames, received_at, None, (), (), {}, 0)


def _span_us(vehicles: int, frames: int) -> int:
    return round(frames / (vehicles * _VEHICLE_HZ) * 1e6)


def _rows(frames: FrameColumns, rows: I64) -> FrameColumns:
    """Some rows, their payloads gathered anew. O(rows + bytes)."""
    data = pa.Array.from_buffers(
        pa.binary(), len(frames), [None, pa.py_buffer(frames.offsets), pa.py_buffer(frames.payload)]
    ).take(pa.array(rows))
    _, offsets, payload = data.buffers()
    return replace(
        frames,
        offsets=frozen(np.frombuffer(offsets, np.int32, len(rows) + 1)),
        payload=frozen(np.frombuffer(payload, np.uint8)),
        **{name: frozen(getattr(frames, name)[rows]) for name in _PLAIN},
    )


_PLAIN: Final = ("vehicle", "timestamp", "arbitration_id", "is_extended", "channel", "counted", "session", "sequence")


def _median_ns(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_PASSES):
        begin = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - begin)
    return median(times)
