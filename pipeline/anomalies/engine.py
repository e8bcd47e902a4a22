"""The anomaly detector of one shard: batches of frames and values in, openings and closings of anomalies out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.anomalies import kernel, state, streams
from pipeline.anomalies.kinds import Kind
from pipeline.anomalies.rules import resolve_frames, resolve_signals
from pipeline.anomalies.settings import AnomalySettings
from pipeline.errors import ConfigError
from pipeline.frames.columns import FrameColumns
from pipeline.types import F64, I32, I64, U8, U32, Bools

_EVENT_ROOM = 4096
_ROWS: Final = {
    "learned": state.LEARNED,
    "series": state.SERIES,
    "vehicles": state.VEHICLE,
    "streams": state.STREAM,
    "open": state.OPEN,
}
ROW_LAYOUT: Final = zlib.crc32(repr([dtype.descr for dtype in _ROWS.values()]).encode())
"""Tells snapshots of other versions of these rows apart."""
_Element = TypeVar("_Element", bound=np.generic)


@dataclass(frozen=True, slots=True)
class AnomalyEvents:
    """`e` openings and closings, in the order in which the frames brought them about.

    An anomaly gives one row when it opens and one, `closed`, when it ends. (vehicle id, kind, signal, arbitration id,
    channel, timestamp) is its identity: the same in both rows, and the same when a journal is replayed. Derive stored
    ids from those with the vehicle's name; `vehicle` here is an index of the shard, and indices change.

    Attributes:
        vehicle: int32[e], index of the shard.
        kind: uint8[e], numbers of `Kind`.
        signal: int32[e], global signal index, -1 for kinds about frames.
        message: int32[e], message index, -1 if the id is in no database.
        arbitration_id: uint32[e].
        channel: uint8[e].
        timestamp: int64[e], microseconds, event time of the frame that made the detector fire first.
        end: int64[e], event time of the last violation so far; of a missing message, of its return.
        value: float64[e], the signal's first offending value; for missing_message the absence in seconds, for
            unknown_arbitration_id the id, for flood the seconds between frames.
        score: float64[e], highest so far and above 0; out_of_range: distance beyond the bound in widths of the range;
            sudden_deviation: standard deviations; rate_of_change, stuck: in limits; missing_message: in cycles;
            flood: in usual rates; unknown_arbitration_id: 1.
        count: int64[e], violations so far.
        closed: bool[e].
    """

    vehicle: I32
    kind: U8
    signal: I32
    message: I32
    arbitration_id: U32
    channel: U8
    timestamp: I64
    end: I64
    value: F64
    score: F64
    count: I64
    closed: Bools

    def __len__(self) -> int:
        """Number of openings and closings."""
        return len(self.vehicle)


class AnomalyDetector:
    """All detectors with the state of one shard. Not thread-safe: the shard's lock guards it. Kernels drop the GIL.

    Args:
        signal_minimum: float64[k], NaN where a signal has none.
        signal_maximum: float64[k], likewise.
        message_cycle_us: int64[messages], 0 where unknown.
        signal_message: int32[k], message of each signal.
        signal_names: `k` names.
        signal_message_names: `k` names of the signals' messages; overrides match `Message.Signal`.
        settings: thresholds.
        signal_discrete: bool[k], signals whose values are states; told from the values where absent.

    Attributes:
        unmatched_overrides: patterns of `settings.signals` that name no signal: worth a warning at start.

    Raises:
        ConfigError: the arrays differ in length.
    """

    def __init__(
        self,
        signal_minimum: F64,
        signal_maximum: F64,
        message_cycle_us: I64,
        signal_message: I32,
        signal_names: Sequence[str] | pa.StringArray,
        signal_message_names: Sequence[str] | pa.StringArray,
        settings: AnomalySettings | None = None,
        signal_discrete: Bools | None = None,
    ) -> None:
        """Resolve the settings; no state yet. Raises `ConfigError`, see the class."""
        settings = settings or AnomalySettings()
        names = [f"{message}.{signal}" for message, signal in zip(signal_message_names, signal_names, strict=True)]
        count = len(names)
        if not count == len(signal_minimum) == len(signal_maximum) == len(signal_message):
            raise ConfigError("anomaly detector: the catalogue's signal arrays differ in length; build them from one")
        discrete = np.zeros(count, np.bool_) if signal_discrete is None else signal_discrete
        self._rules, self.unmatched_overrides = resolve_signals(
            settings, names, signal_minimum, signal_maximum, discrete
        )
        self._frame_rules = resolve_frames(settings, have_databases=len(message_cycle_us) > 0)
        self._hold_us = np.full(len(Kind), round(settings.hold_seconds * 1e6), np.int64)
        self._hold_us[Kind.UNKNOWN_ARBITRATION_ID] = round(settings.unknown_arbitration_id.cooldown_seconds * 1e6)
        self._cycle_us = np.array(message_cycle_us, np.int64)
        self._catalogue = zlib.crc32("\n".join(names).encode(), len(message_cycle_us))
        self._learned = np.zeros(count, state.LEARNED)
        self._series = np.zeros(0, state.SERIES)
        self._vehicles = np.zeros(0, state.VEHICLE)
        self._series_used = 0
        self._vehicles_used = 0
        self._streams = np.zeros(1024, state.STREAM)
        self._table = np.zeros(4096, np.int32)
        self._open = np.zeros(1024, state.OPEN)
        self._events = np.zeros(_EVENT_ROOM, state.EVENT)
        self._counters = np.zeros(state.COUNTERS, np.int64)

    @property
    def open_count(self) -> int:
        """Anomalies open now."""
        return int(self._counters[state.OPEN_COUNT])

    @property
    def overflowed(self) -> int:
        """Frames whose id was past its vehicle's bound, since the first start: they were judged by value alone."""
        return int(self._counters[state.OVERFLOWED])

    def observe(
        self,
        vehicle: I32,
        frames: FrameColumns,
        message: I32,
        row: I32,
        signal: I32,
        series: I32,
        value: F64,
    ) -> AnomalyEvents:
        """Judge a batch of `n` frames and their `m` values; cutting a stream into other batches changes nothing.

        Args:
            vehicle: int32[n], dense index of each frame's vehicle in the shard.
            frames: timestamp, arbitration_id, is_extended and channel are read.
            message: int32[n], -1 if in no database.
            row: int32[m], frame of each value, ascending.
            signal: int32[m], global signal index.
            series: int32[m], dense index of (vehicle, signal) in the shard.
            value: float64[m], NaN is skipped.

        Complexity: O(n + m), plus the vehicle's ids once per deadline of a cyclic message.
        """
        self._reserve(vehicle, series)
        inputs = (
            _input(vehicle, np.int32),
            _input(frames.timestamp, np.int64),
            _input(frames.arbitration_id, np.uint32),
            _input(frames.is_extended, np.bool_),
            _input(frames.channel, np.uint8),
            _input(message, np.int32),
            _input(row, np.int32),
            _input(signal, np.int32),
            _input(series, np.int32),
            _input(value, np.float64),
        )
        position = np.zeros(4, np.int64)
        found: list[NDArray[Any]] = []
        done = False
        while not done:
            done = kernel.run(
                position,
                *inputs,
                self._rules,
                self._frame_rules,
                self._hold_us,
                self._cycle_us,
                self._series,
                self._learned,
                self._vehicles,
                self._streams,
                self._table,
                self._open,
                self._events,
                self._counters,
            )
            used = int(self._counters[state.EVENTS])
            if used:
                found.append(self._events[:used].copy())
                self._counters[state.EVENTS] = 0
            if not done:
                self._make_room()
        return _columns(found)

    def warm(self) -> None:
        """Compile the kernel, or load it from its cache, on a throw-away frame."""
        nothing = np.zeros(0, np.int32)
        spare = AnomalyDetector(
            np.zeros(1), np.ones(1), np.zeros(1, np.int64), np.zeros(1, np.int32), ["signal"], ["message"]
        )
        frames = FrameColumns(
            vehicles=pa.array(["warm"], pa.utf8()),
            vehicle=np.zeros(1, np.int32),
            timestamp=np.ones(1, np.int64),
            arbitration_id=np.zeros(1, np.uint32),
            is_extended=np.zeros(1, np.bool_),
            channel=np.zeros(1, np.uint8),
            offsets=np.zeros(2, np.int32),
            payload=np.zeros(0, np.uint8),
            counted=np.zeros(1, np.bool_),
            session=np.zeros(1, np.uint32),
            sequence=np.zeros(1, np.uint64),
        )
        spare.observe(frames.vehicle, frames, frames.vehicle, nothing, nothing, nothing, np.zeros(0))

    def forget(self, vehicle: int, series: I32) -> None:
        """Know nothing of a vehicle and its series any more. O(its series, ids and open anomalies).

        What is normal for a signal over all vehicles stays as it was learned.
        """
        self._series[series[series < self._series_used]] = np.zeros((), state.SERIES)
        if vehicle >= self._vehicles_used:
            return
        row = self._vehicles[vehicle]
        link = int(row["open"])
        while link:
            following = int(self._open["next"][link - 1])
            self._open[link - 1] = np.zeros((), state.OPEN)
            self._open["next"][link - 1] = self._counters[state.OPEN_FREE]
            self._counters[state.OPEN_FREE] = link
            self._counters[state.OPEN_COUNT] -= 1
            link = following
        link = int(row["streams"])
        while link:
            kept = np.zeros((), state.STREAM)
            # The key stays, for it is a place in the table of all streams, and the number in it is nobody's any more.
            kept["key"] = self._streams["key"][link - 1]
            following = int(self._streams["next"][link - 1])
            self._streams[link - 1] = kept
            link = following
        self._vehicles[vehicle] = np.zeros((), state.VEHICLE)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Copies of the state in use, for a checkpoint: rows as uint8[rows, bytes], which `restore` reads back."""
        rows = {
            "learned": self._learned,
            "series": self._series[: self._series_used],
            "vehicles": self._vehicles[: self._vehicles_used],
            "streams": self._streams[: int(self._counters[state.STREAMS_USED])],
            "open": self._open[: int(self._counters[state.OPEN_USED])],
        }
        return {
            "catalogue": np.array([self._catalogue, ROW_LAYOUT], np.int64),
            "counters": self._counters.copy(),
            **{name: array.copy().view(np.uint8).reshape(-1, _ROWS[name].itemsize) for name, array in rows.items()},
        }

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a snapshot; the thresholds may differ from those it was taken with, the databases may not.

        Raises:
            ConfigError: the snapshot belongs to other databases or to another version of the rows.
        """
        missing = [name for name in ("catalogue", "counters", *_ROWS) if name not in snapshot]
        if missing or int(snapshot["catalogue"][-1]) != ROW_LAYOUT or len(snapshot["counters"]) != state.COUNTERS:
            raise ConfigError("anomaly snapshot: not of this version of canfleet; start without it and replay")
        if int(snapshot["catalogue"][0]) != self._catalogue:
            raise ConfigError("anomaly snapshot: taken with other signal databases; start without it and replay")
        rows = {name: np.array(snapshot[name]).reshape(-1).view(dtype) for name, dtype in _ROWS.items()}
        self._counters = np.array(snapshot["counters"], np.int64)
        self._counters[state.EVENTS] = 0
        self._learned = rows["learned"]
        self._series = rows["series"]
        self._vehicles = rows["vehicles"]
        self._series_used = len(self._series)
        self._vehicles_used = len(self._vehicles)
        self._streams = state.grown(rows["streams"], 1024)
        self._open = state.grown(rows["open"], 1024)
        self._rehash()

    def _reserve(self, vehicle: I32, series: I32) -> None:
        """Rows for every vehicle and series that the batch names."""
        if len(vehicle):
            self._vehicles_used = max(self._vehicles_used, int(vehicle.max()) + 1)
            if self._vehicles_used > streams.MAX_VEHICLES:
                raise ConfigError(f"anomaly detector: over {streams.MAX_VEHICLES} vehicles in a shard; add partitions")
            self._vehicles = state.grown(self._vehicles, self._vehicles_used)
        if len(series):
            self._series_used = max(self._series_used, int(series.max()) + 1)
            self._series = state.grown(self._series, self._series_used)

    def _make_room(self) -> None:
        """Grow whatever made the kernel pause: it asks for 512 known ids and a few rows at most, and empty events."""
        open_count = int(self._counters[state.OPEN_COUNT])
        self._open = state.grown(self._open, open_count + 1024)
        self._events = state.grown(self._events, open_count + _EVENT_ROOM)
        used = int(self._counters[state.STREAMS_USED])
        self._streams = state.grown(self._streams, used + 1)
        if 2 * (used + 1) > len(self._table):
            self._rehash()

    def _rehash(self) -> None:
        used = int(self._counters[state.STREAMS_USED])
        self._table = np.zeros(max(4096, 1 << (4 * (used + 1) - 1).bit_length()), np.int32)
        streams.rebuild(self._table, self._streams, used)


def _input(column: NDArray[_Element], dtype: type[_Element]) -> NDArray[_Element]:
    """`column` as the one array type the kernel is compiled for: contiguous, aligned, read-only. Mostly a view."""
    column = np.require(column, dtype, ["C", "A"]).view()
    column.flags.writeable = False
    return column


def _columns(found: list[NDArray[Any]]) -> AnomalyEvents:
    rows = np.concatenate(found) if found else np.zeros(0, state.EVENT)
    return AnomalyEvents(**{name: np.ascontiguousarray(rows[name]) for name in AnomalyEvents.__slots__})
