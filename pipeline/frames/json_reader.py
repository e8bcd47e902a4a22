"""Read frames from NDJSON (one object a line), from a JSON list of objects, and from texts of one object each.

Bodies are first cut into rows, then read by one kernel (`json_kernel`); the few rows that it puts aside go to a
complete parser, one by one, so that a malformed row is rejected alone and with its own text. A timestamp string
must carry its offset, as RFC 3339 says: one without is rejected, not guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.errors import BodyError, BodyTooLarge
from pipeline.frames.json_kernel import ASIDE, gather, read_rows
from pipeline.frames.json_object import read_object
from pipeline.frames.json_split import split_lines, split_list
from pipeline.frames.limits import FrameLimits
from pipeline.frames.raw import RawFrames, empty_raw
from pipeline.frames.reasons import Reason
from pipeline.frames.vehicles import frozen, utf8_views
from pipeline.types import I64, U8

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LIST_FAULTS: Final = {
    -2: 'it does not begin with "["',
    -3: "the list does not end: it may be truncated",
    -4: "something follows the list",
}


def read_ndjson(body: bytes | memoryview, limits: FrameLimits) -> RawFrames:
    """All lines that are not blank. O(bytes).

    Raises:
        BodyError: no line is JSON.
        BodyTooLarge: more lines than `limits` allow.
    """
    text = _bytes(body)
    room = _room(text, limits)
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    return _read(text, starts, ends, split_lines(text, starts, ends), limits)


def read_json(body: bytes | memoryview, limits: FrameLimits) -> RawFrames:
    """All elements of one JSON list. O(bytes).

    Raises:
        BodyError: the body is no list, or none of its elements is JSON.
        BodyTooLarge: more elements than `limits` allow.
    """
    text = _bytes(body)
    room = _room(text, limits)
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    count = split_list(text, starts, ends)
    if count in _LIST_FAULTS:
        raise BodyError(f"the body is no JSON list of frames: {_LIST_FAULTS[count]}")
    return _read(text, starts, ends, count, limits)


def read_texts(texts: pa.StringArray) -> RawFrames:
    """One row a text, whatever it holds; where none is JSON, every row says so. O(bytes)."""
    offsets, text = utf8_views(texts)
    return _rows(_Rows(text, frozen(offsets[:-1].astype(np.int64)), frozen(offsets[1:].astype(np.int64))))


def read_cut(text: U8, starts: I64, ends: I64) -> RawFrames:
    """One row for each `text[starts[i]:ends[i]]`, whatever it holds. O(bytes)."""
    return _rows(_Rows(frozen(text), frozen(starts), frozen(ends)))


def _bytes(body: bytes | memoryview) -> U8:
    text = np.frombuffer(body, np.uint8)
    return frozen(text[3:] if bytes(text[:3]) == _BYTE_ORDER_MARK else text)


def _room(text: U8, limits: FrameLimits) -> int:
    return min(limits.max_rows, len(text) + 1)


def _read(text: U8, starts: I64, ends: I64, count: int, limits: FrameLimits) -> RawFrames:
    if count < 0:
        raise BodyTooLarge(f"the body has more than {limits.max_rows} rows: send it in smaller parts")
    if count == 0:
        return empty_raw()
    rows = _Rows(text, frozen(starts[:count].copy()), frozen(ends[:count].copy()))
    raw = _rows(rows)
    if (raw.fault == Reason.NOT_JSON).all():
        raise BodyError(f"the body is not JSON: none of its {count} rows is; the first begins {rows.first_words()!r}")
    return raw


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where the rows stand in the body: row i is `text[starts[i]:ends[i]]`."""

    text: U8
    starts: I64
    ends: I64

    def bytes(self, row: int) -> bytes:
        return self.text[self.starts[row] : self.ends[row]].tobytes()

    def texts(self, rows: I64) -> pa.StringArray:
        return pa.array([self.bytes(row).decode("utf-8", "replace") for row in rows.tolist()], pa.utf8())

    def first_words(self) -> str:
        return self.bytes(0)[:40].decode("utf-8", "replace")


def _rows(rows: _Rows) -> RawFrames:
    """Every row by the kernel, or, where it puts one aside, by the complete parser."""
    raw, status = _read_plain(rows)
    aside = np.flatnonzero(status == ASIDE)
    return _read_aside(rows, raw, aside) if len(aside) else raw


def _is_utf8(text: U8) -> bool:
    try:
        str(text.data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_plain(rows: _Rows) -> tuple[RawFrames, U8]:
    n = len(rows.starts)
    status, present = np.empty(n, np.uint8), np.empty(n, np.uint8)
    vehicle, id_start, id_length = np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.int32)
    timestamp, arbitration_id = np.empty(n, np.int64), np.empty(n, np.uint32)
    offsets, payload = np.empty(n + 1, np.int32), np.empty(len(rows.text) // 2 + 1, np.uint8)
    extended, channel = np.empty(n, np.uint8), np.empty(n, np.uint8)
    session, sequence = np.empty(n, np.uint32), np.empty(n, np.uint64)
    distinct = read_rows(
        rows.text,
        rows.starts,
        rows.ends,
        _is_utf8(rows.text),
        status,
        vehicle,
        id_start,
        id_length,
        np.full(1 << (2 * n - 1).bit_length(), -1, np.int32),
        timestamp,
        arbitration_id,
        offsets,
        payload,
        extended,
        channel,
        session,
        sequence,
        present,
    )
    ids, id_offsets = np.empty(int(id_length[:distinct].sum()), np.uint8), np.empty(distinct + 1, np.int32)
    gather(rows.text, id_start[:distinct], id_length[:distinct], id_offsets, ids)
    raw = RawFrames(
        vehicles=pa.StringArray.from_buffers(distinct, pa.py_buffer(id_offsets), pa.py_buffer(ids)),
        vehicle=vehicle,
        timestamp=timestamp,
        arbitration_id=arbitration_id,
        offsets=offsets,
        # A copy: the room for the worst case would otherwise live as long as the frames.
        payload=payload[: offsets[-1]].copy(),
        extended=extended,
        channel=channel,
        session=session,
        sequence=sequence,
        present=present,
        fault=np.zeros(n, np.uint8),
        text=rows.texts,
    )
    return raw, status


def _read_aside(rows: _Rows, raw: RawFrames, aside: I64) -> RawFrames:
    """The same rows with those put aside read by the complete parser. O(rows), and a Python step per row aside."""
    vehicles: list[str] = raw.vehicles.to_pylist()
    index = {vehicle: position for position, vehicle in enumerate(vehicles)}
    pieces: list[bytes] = []
    lengths = np.diff(raw.offsets).astype(np.int64)
    done = 0
    for row in aside.tolist():
        read = read_object(rows.bytes(row))
        raw.fault[row] = read.fault
        if read.vehicle_id is not None:
            raw.vehicle[row] = index.setdefault(read.vehicle_id, len(index))
        raw.timestamp[row], raw.arbitration_id[row] = read.timestamp, read.arbitration_id
        raw.extended[row], raw.channel[row] = read.extended, read.channel
        raw.session[row], raw.sequence[row], raw.present[row] = read.session, read.sequence, read.present
        start = int(raw.offsets[row])
        pieces += [raw.payload[done:start].tobytes(), read.data]
        lengths[row], done = len(read.data), start
    pieces.append(raw.payload[done:].tobytes())
    offsets = np.zeros(len(raw) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return RawFrames(
        vehicles=pa.array(list(index), pa.utf8()),
        vehicle=raw.vehicle,
        timestamp=raw.timestamp,
        arbitration_id=raw.arbitration_id,
        offsets=offsets,
        payload=np.frombuffer(b"".join(pieces), np.uint8),
        extended=raw.extended,
        channel=raw.channel,
        session=raw.session,
        sequence=raw.sequence,
        present=raw.present,
        fault=raw.fault,
        text=raw.text,
    )
