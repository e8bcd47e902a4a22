"""Insert rows: processed groups as the Arrow batches that the ClickHouse writer takes, without a string per row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.clickhouse.writer import ANOMALIES, DEAD_LETTERS, FRAMES, MINUTES, SIGNALS
from pipeline.decode.catalogue import Catalogue
from pipeline.frames.columns import FrameColumns
from pipeline.frames.schema import CANONICAL, TIMESTAMP
from pipeline.shard import minutes
from pipeline.shard.anomaly_log import Anomaly
from pipeline.shard.group import Group, concat_columns
from pipeline.shard.process import Values
from pipeline.shard.records import Intent
from pipeline.types import F64, I32, I64, Bools
from pipeline.vehicles import VehicleIndex


@dataclass(frozen=True, slots=True)
class Processed:
    """A group with its decoded values."""

    group: Group
    values: Values

    @property
    def n_bytes(self) -> int:
        """Memory it holds, roughly."""
        return self.group.n_bytes + 16 * len(self.values.row)


class ValueColumns(NamedTuple):
    """Decoded values of an insert: int32[m], int32[m], int64[m] in microseconds, float64[m]."""

    vehicle: I32
    signal: I32
    timestamp: I64
    value: F64

    def without(self, rows: I64) -> ValueColumns:
        """All but some values; itself where `rows` is empty."""
        if not len(rows):
            return self
        kept = np.ones(len(self.value), np.bool_)
        kept[rows] = False
        return ValueColumns(self.vehicle[kept], self.signal[kept], self.timestamp[kept], self.value[kept])


class NameColumns:
    """Dictionary columns that every insert of a shard shares: fleets, vehicles, messages, signals."""

    def __init__(self, catalogue: Catalogue, vehicles: VehicleIndex) -> None:
        self._vehicles = vehicles
        self._messages, self._message_of_signal = _distinct(catalogue.signal_message_names)
        self._signals, self._name_of_signal = _distinct(catalogue.signal_names)
        self._known = 0
        self._ids: dict[str, int] = {}
        self._fleets: dict[str, int] = {}
        self._id_of: I32 = np.zeros(0, np.int32)
        self._fleet_of: I32 = np.zeros(0, np.int32)
        self._id_values = self._fleet_values = pa.array([], pa.utf8())

    def forget(self) -> None:
        """Learn all names anew: some are gone."""
        self._known = 0
        self._ids, self._fleets = {}, {}
        self._id_of = self._fleet_of = np.zeros(0, np.int32)
        self.refresh()

    def refresh(self) -> None:
        """Learn the vehicles that came since. O(new vehicles), or O(all) where there are some.

        ClickHouse wants dictionaries without repeats, and two fleets may name a vehicle alike.
        """
        known, now = self._known, len(self._vehicles)
        if known == now:
            return
        new = range(known, now)
        ids = [self._ids.setdefault(self._vehicles.name(i), len(self._ids)) for i in new]
        fleets = [self._fleets.setdefault(self._vehicles.fleet(i), len(self._fleets)) for i in new]
        self._id_of = np.concatenate([self._id_of, np.array(ids, np.int32)])
        self._fleet_of = np.concatenate([self._fleet_of, np.array(fleets, np.int32)])
        self._id_values = pa.array(list(self._ids), pa.utf8())
        self._fleet_values = pa.array(list(self._fleets), pa.utf8())
        self._known = now

    def fleet(self, vehicle: I32) -> pa.DictionaryArray:
        """dictionary[n] of the fleet of each vehicle index."""
        return _dictionary(self._fleet_of[vehicle], self._fleet_values)

    def vehicle_id(self, vehicle: I32) -> pa.DictionaryArray:
        """dictionary[n] of the id of each vehicle index."""
        return _dictionary(self._id_of[vehicle], self._id_values)

    def message(self, signal: I32) -> pa.DictionaryArray:
        """dictionary[m] of the message of each signal index."""
        return _dictionary(self._message_of_signal[signal], self._messages)

    def signal(self, signal: I32) -> pa.DictionaryArray:
        """dictionary[m] of the name of each signal index."""
        return _dictionary(self._name_of_signal[signal], self._signals)

    def count_by_fleet(self, vehicle: I32) -> dict[str, int]:
        """How many of the rows belong to each fleet."""
        counts = np.bincount(self._fleet_of[vehicle], minlength=len(self._fleets)).tolist()
        return {fleet: count for fleet, count in zip(self._fleets, counts, strict=True) if count}


def kept_rows(items: Sequence[Processed], intent: Intent) -> Bools | None:
    """bool[n] over the frames of `items`, False for those the intent leaves out; None where it leaves out none."""
    if not len(intent.late_duplicates) and not len(intent.refused_frames):
        return None
    keep = np.ones(sum(len(item.group) for item in items), np.bool_)
    keep[intent.late_duplicates] = False
    keep[intent.refused_frames] = False
    return keep


def frame_rows(items: Sequence[Processed], keep: Bools | None, names: NameColumns) -> pa.RecordBatch:
    """Rows of `frames`.

    Args:
        items: processed groups in journal order.
        keep: bool[n] over all their frames, False for late duplicates; None keeps all.
        names: the shard's dictionary columns.
    """
    frames = concat_columns([item.group.frames for item in items])
    received_at = np.concatenate([item.group.received_at for item in items])
    absent = None if frames.counted.all() else ~frames.counted
    batch = pa.RecordBatch.from_arrays(
        [
            names.fleet(frames.vehicle),
            names.vehicle_id(frames.vehicle),
            pa.array(frames.timestamp, TIMESTAMP),
            pa.array(frames.session, pa.uint32(), mask=absent),
            pa.array(frames.sequence, pa.uint64(), mask=absent),
            pa.array(frames.channel),
            pa.array(frames.arbitration_id),
            pa.array(frames.is_extended),
            binary_data(frames),
            pa.array(received_at, TIMESTAMP),
        ],
        schema=FRAMES,
    )
    return batch if keep is None else batch.filter(pa.array(keep))


def value_columns(items: Sequence[Processed], keep: Bools | None) -> ValueColumns:
    """The decoded values of all items, those of late duplicates left out; arguments as for `frame_rows`."""
    vehicle, timestamp = _per_value(items)
    signal = np.concatenate([item.values.signal for item in items])
    value = np.concatenate([item.values.value for item in items])
    if keep is not None:
        base = np.cumsum([0] + [len(item.group) for item in items[:-1]])
        row = np.concatenate([item.values.row + b for item, b in zip(items, base, strict=True)])
        kept = keep[row]
        vehicle, timestamp, signal, value = vehicle[kept], timestamp[kept], signal[kept], value[kept]
    return ValueColumns(vehicle, signal, timestamp, value)


def signal_rows(values: ValueColumns, names: NameColumns) -> pa.RecordBatch:
    """Rows of `signals`."""
    return pa.RecordBatch.from_arrays(
        [
            names.fleet(values.vehicle),
            names.vehicle_id(values.vehicle),
            pa.array(values.timestamp, TIMESTAMP),
            names.message(values.signal),
            names.signal(values.signal),
            pa.array(values.value),
        ],
        schema=SIGNALS,
    )


def minute_rows(rows: I64, names: NameColumns) -> pa.RecordBatch:
    """Rows of the one-minute rollup from what `Minutes.flush` gave, int64[n, 8]."""
    vehicle = (rows[:, minutes.KEY] >> 32).astype(np.int32)
    signal = (rows[:, minutes.KEY] & 0xFFFFFFFF).astype(np.int32)
    as_float = rows.view(np.float64)
    last = np.ascontiguousarray(rows[:, [minutes.LAST, minutes.LAST_TIMESTAMP]])
    return pa.RecordBatch.from_arrays(
        [
            names.fleet(vehicle),
            names.vehicle_id(vehicle),
            names.signal(signal),
            names.message(signal),
            pa.array((rows[:, minutes.MINUTE] * 60).astype(np.uint32)),
            pa.array(rows[:, minutes.COUNT].astype(np.uint64)),
            pa.array(np.ascontiguousarray(as_float[:, minutes.MIN])),
            pa.array(np.ascontiguousarray(as_float[:, minutes.MAX])),
            pa.array(np.ascontiguousarray(as_float[:, minutes.SUM])),
            pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(rows), [None, pa.py_buffer(last)]),
        ],
        schema=MINUTES,
    )


def doubtful_frames(items: Sequence[Processed], names: NameColumns) -> tuple[I64, pa.DictionaryArray, pa.RecordBatch]:
    """Frames that only the warehouse can tell from duplicates.

    Returns:
        int64[k], their positions among all frames of `items`; their fleets; and themselves, schema `CANONICAL`.
    """
    doubtful = np.concatenate(
        [
            np.zeros(len(item.group), np.bool_) if item.group.unverified is None else item.group.unverified
            for item in items
        ]
    )
    rows = np.flatnonzero(doubtful)
    vehicle = np.concatenate([item.group.frames.vehicle for item in items])[rows]
    return rows, names.fleet(vehicle), canonical_rows(items, rows, names)


def canonical_rows(items: Sequence[Processed], rows: I64, names: NameColumns) -> pa.RecordBatch:
    """The frames at positions `rows` (int64[k]) of `items`, as a batch of schema `CANONICAL`."""
    frames = concat_columns([item.group.frames for item in items])
    batch = pa.RecordBatch.from_arrays(
        [
            names.vehicle_id(frames.vehicle),
            pa.array(frames.timestamp, TIMESTAMP),
            pa.array(frames.arbitration_id),
            binary_data(frames),
            pa.array(frames.is_extended),
            pa.array(frames.channel),
            pa.array(frames.session, pa.uint32(), mask=~frames.counted),
            pa.array(frames.sequence, pa.uint64(), mask=~frames.counted),
        ],
        schema=CANONICAL,
    )
    return batch.take(pa.array(rows))


def dead_letter_rows(items: Sequence[Processed]) -> pa.Table | None:
    """Rows of `dead_letters`; None where there are none."""
    tables = []
    for item in items:
        for letters in item.group.dead_letters:
            n = letters.rows.num_rows
            tables.append(
                pa.table(
                    {
                        "fleet": pa.repeat(letters.fleet, n),
                        "received_at": pa.repeat(pa.scalar(letters.received_at, TIMESTAMP), n),
                        "stage": letters.rows.column("stage"),
                        "reason": letters.rows.column("reason"),
                        "payload": letters.rows.column("payload"),
                        "request_id": pa.repeat(letters.request_id, n),
                    }
                ).cast(DEAD_LETTERS)
            )
    return pa.concat_tables(tables) if tables else None


def anomaly_rows(anomalies: Sequence[Anomaly]) -> pa.RecordBatch:
    """Rows of `anomalies_log`."""
    return pa.RecordBatch.from_pylist([anomaly.as_dict() for anomaly in anomalies], ANOMALIES)


def binary_data(frames: FrameColumns) -> pa.BinaryArray:
    """binary[n], the frames' data, without a copy of the payload."""
    first = int(frames.offsets[0])
    buffers = [None, pa.py_buffer(frames.offsets - np.int32(first)), pa.py_buffer(frames.payload[first:])]
    return pa.Array.from_buffers(pa.binary(), len(frames), buffers)


def _per_value(items: Sequence[Processed]) -> tuple[I32, I64]:
    """Vehicle and event time of every decoded value."""
    vehicle = np.concatenate([item.group.frames.vehicle[item.values.row] for item in items])
    timestamp = np.concatenate([item.group.frames.timestamp[item.values.row] for item in items])
    return vehicle, timestamp


def _dictionary(indices: I32, values: pa.StringArray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), values)


def _distinct(names: pa.StringArray) -> tuple[pa.StringArray, I32]:
    encoded = names.dictionary_encode()
    return encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
