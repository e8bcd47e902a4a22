"""Split rows into a canonical batch and dead letters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
from numba import njit

from pipeline.frames.columns import FrameColumns
from pipeline.frames.dead_letters import NONE, dead_letters
from pipeline.frames.limits import FrameLimits
from pipeline.frames.raw import (
    EXTENDED_ABSENT,
    HAS_ARBITRATION_ID,
    HAS_DATA,
    HAS_SEQUENCE,
    HAS_SESSION,
    HAS_TIMESTAMP,
    RawFrames,
)
from pipeline.frames.reasons import Reason
from pipeline.frames.row_text import canonical_text
from pipeline.frames.schema import CANONICAL, MAX_DATA_BYTES, MAX_EXTENDED_ID, MAX_STANDARD_ID, TIMESTAMP
from pipeline.frames.vehicles import compact, frozen, vehicle_faults
from pipeline.types import I32, I64, U8, U32

_VEHICLE_MISSING: Final = int(Reason.VEHICLE_ID_MISSING)
_TIMESTAMP_MISSING: Final = int(Reason.TIMESTAMP_MISSING)
_TOO_OLD: Final = int(Reason.TIMESTAMP_TOO_OLD)
_IN_FUTURE: Final = int(Reason.TIMESTAMP_IN_FUTURE)
_ID_MISSING: Final = int(Reason.ARBITRATION_ID_MISSING)
_ID_TOO_LARGE: Final = int(Reason.ARBITRATION_ID_TOO_LARGE)
_ID_NOT_STANDARD: Final = int(Reason.ARBITRATION_ID_NOT_STANDARD)
_DATA_MISSING: Final = int(Reason.DATA_MISSING)
_DATA_TOO_LONG: Final = int(Reason.DATA_TOO_LONG)
_SESSION_ALONE: Final = int(Reason.SESSION_WITHOUT_SEQUENCE)
_SEQUENCE_ALONE: Final = int(Reason.SEQUENCE_WITHOUT_SESSION)

_NOWHERE: Final[I64] = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """A body, row by row: what was received is `len(frames) + len(rejected)`.

    Attributes:
        frames: the good rows in their order, schema `CANONICAL`, its dictionary free of unused ids.
        rejected: the others in their order, schema `DEAD_LETTERS`.
        rejected_at: int64[rejected], where they stood in the body.
    """

    frames: pa.RecordBatch
    rejected: pa.RecordBatch
    rejected_at: I64 = field(default_factory=_NOWHERE.copy)

    @property
    def received(self) -> int:
        """How many rows the body had."""
        return int(self.frames.num_rows + self.rejected.num_rows)


@njit(cache=True, nogil=True, fastmath=False)
def _find_faults(
    vehicle: I32,
    vehicle_fault: U8,
    timestamp: I64,
    arbitration_id: U32,
    offsets: I32,
    extended: U8,
    present: U8,
    fault: U8,
    earliest: int,
    latest: int,
    out: U8,
    extended_out: U8,
) -> int:
    count = 0
    for i in range(len(vehicle)):
        has = present[i]
        code = _VEHICLE_MISSING if vehicle[i] < 0 else np.int64(vehicle_fault[vehicle[i]])
        if code == 0:
            if not has & HAS_TIMESTAMP:
                code = _TIMESTAMP_MISSING
            elif timestamp[i] < earliest:
                code = _TOO_OLD
            elif timestamp[i] > latest:
                code = _IN_FUTURE
            elif not has & HAS_ARBITRATION_ID:
                code = _ID_MISSING
            elif arbitration_id[i] > MAX_EXTENDED_ID:
                code = _ID_TOO_LARGE
            elif extended[i] == 0 and arbitration_id[i] > MAX_STANDARD_ID:
                code = _ID_NOT_STANDARD
            elif not has & HAS_DATA:
                code = _DATA_MISSING
            elif offsets[i + 1] - offsets[i] > MAX_DATA_BYTES:
                code = _DATA_TOO_LONG
            elif has & HAS_SESSION and not has & HAS_SEQUENCE:
                code = _SESSION_ALONE
            elif has & HAS_SEQUENCE and not has & HAS_SESSION:
                code = _SEQUENCE_ALONE
        read = np.int64(fault[i])
        if read != 0 and (code == 0 or read < code):
            code = read
        out[i] = code
        count += code != 0
        extended_out[i] = arbitration_id[i] > MAX_STANDARD_ID if extended[i] == EXTENDED_ABSENT else extended[i]
    return count


def validate(raw: RawFrames, limits: FrameLimits, now_us: int) -> ParsedBody:
    """Check every rule of every row; the first broken one, in the order of `Reason`, rejects the row. O(rows).

    Args:
        raw: rows as a reader understood them.
        limits: the bounds of timestamps.
        now_us: the time of receipt, microseconds since the epoch.
    """
    n = len(raw)
    codes = np.empty(n, np.uint8)
    extended = np.empty(n, np.uint8)
    faults = _find_faults(
        frozen(raw.vehicle),
        frozen(vehicle_faults(raw.vehicles)),
        frozen(raw.timestamp),
        frozen(raw.arbitration_id),
        frozen(raw.offsets),
        frozen(raw.extended),
        frozen(raw.present),
        frozen(raw.fault),
        limits.earliest_us,
        limits.latest_us(now_us),
        codes,
        extended,
    )
    if faults == 0:
        return ParsedBody(_canonical(raw, raw.vehicle, extended), NONE)
    # A row that is rejected must not keep its vehicle id in the dictionary: mark it unused first.
    frames = _canonical(raw, np.where(codes == 0, raw.vehicle, -1), extended)
    bad = np.flatnonzero(codes)
    rejected = dead_letters(codes[bad], raw.text(bad))
    return ParsedBody(frames.take(pa.array(np.flatnonzero(codes == 0))), rejected, bad)


def _canonical(raw: RawFrames, vehicle: I32, extended: U8) -> pa.RecordBatch:
    n = len(raw)
    vehicles, vehicle = compact(raw.vehicles, vehicle)
    everywhere = int(np.bitwise_and.reduce(raw.present))
    has_session = None if everywhere & HAS_SESSION else _validity(raw.present, HAS_SESSION)
    has_sequence = None if everywhere & HAS_SEQUENCE else _validity(raw.present, HAS_SEQUENCE)
    payload = pa.py_buffer(raw.payload)
    return pa.RecordBatch.from_arrays(
        [
            # An index of -1 stands only in rows that are about to be dropped, so it needs no bounds check.
            pa.DictionaryArray.from_arrays(_fixed(pa.int32(), vehicle), vehicles, safe=False),
            _fixed(TIMESTAMP, raw.timestamp),
            _fixed(pa.uint32(), raw.arbitration_id),
            pa.Array.from_buffers(pa.binary(), n, [None, pa.py_buffer(raw.offsets), payload], 0),
            pa.array(extended.view(np.bool_)),
            _fixed(pa.uint8(), raw.channel),
            _fixed(pa.uint32(), raw.session, has_session),
            _fixed(pa.uint64(), raw.sequence, has_sequence),
        ],
        schema=CANONICAL,
    )


def _fixed(kind: pa.DataType, values: np.ndarray, valid: U8 | None = None) -> pa.Array:
    validity = None if valid is None else pa.py_buffer(valid)
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(values)], 0 if valid is None else -1)


def _validity(present: U8, bit: int) -> U8:
    return np.packbits(present & np.uint8(bit), bitorder="little")


def revalidate(frames: pa.RecordBatch, limits: FrameLimits, now_us: int) -> ParsedBody:
    """Check a batch of schema `CANONICAL` that no reader of bodies made, e.g. one of a log file. O(rows)."""
    columns = FrameColumns.from_batch(frames)
    present = np.full(len(columns), HAS_TIMESTAMP | HAS_ARBITRATION_ID | HAS_DATA, np.uint8)
    present |= np.where(columns.counted, HAS_SESSION | HAS_SEQUENCE, 0).astype(np.uint8)
    raw = RawFrames(
        vehicles=columns.vehicles,
        vehicle=columns.vehicle,
        timestamp=columns.timestamp,
        arbitration_id=columns.arbitration_id,
        offsets=columns.offsets,
        payload=columns.payload,
        extended=columns.is_extended.view(np.uint8),
        channel=columns.channel,
        session=columns.session,
        sequence=columns.sequence,
        present=present,
        fault=np.zeros(len(columns), np.uint8),
        text=lambda rows: canonical_text(frames, rows),
    )
    return validate(raw, limits, now_us)
