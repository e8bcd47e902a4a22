"""Read frames from an Arrow IPC stream.

The stream comes from outside: its lengths are bounded before it is read (`ipc_guard`), and every buffer of the
columns that are used is validated before anything follows an offset or an index in it. Columns are found by
name, others are never touched. A timestamp column without a zone is taken as UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.errors import BodyError, BodyTooLarge
from pipeline.frames.arrow_types import (
    integers,
    is_bytes,
    is_text_or_dictionary,
    microseconds,
    plain_bytes,
    plain_text,
)
from pipeline.frames.ipc_guard import check_stream
from pipeline.frames.limits import FrameLimits
from pipeline.frames.raw import (
    EXTENDED_ABSENT,
    HAS_ARBITRATION_ID,
    HAS_DATA,
    HAS_SEQUENCE,
    HAS_SESSION,
    HAS_TIMESTAMP,
    RawFrames,
    empty_raw,
)
from pipeline.frames.reasons import Reason
from pipeline.frames.row_text import row_text, vehicle_text
from pipeline.frames.schema import OPTIONAL, REQUIRED
from pipeline.frames.vehicles import frozen, merge, utf8_views
from pipeline.types import I32, I64, U8

_MOST_DICTIONARY_BYTES: Final = 1 << 28
_ALL_REQUIRED: Final = HAS_TIMESTAMP | HAS_ARBITRATION_ID | HAS_DATA

_EXPECTED: Final[dict[str, tuple[str, Callable[[pa.DataType], bool]]]] = {
    "vehicle_id": ("utf8, plain or dictionary", is_text_or_dictionary),
    "timestamp": ("timestamp[us, UTC]", pa.types.is_timestamp),
    "arbitration_id": ("uint32", pa.types.is_integer),
    "data": ("binary", is_bytes),
    "is_extended": ("bool", pa.types.is_boolean),
    "channel": ("uint8", pa.types.is_integer),
    "session": ("uint32", pa.types.is_integer),
    "sequence": ("uint64", pa.types.is_integer),
}


def read_arrow(body: bytes | memoryview, limits: FrameLimits) -> RawFrames:
    """All rows of all record batches of an Arrow IPC stream. O(bytes), mostly without copying.

    Raises:
        BodyError: not an Arrow stream, truncated or damaged, or a column is missing, doubled or of a wrong type.
        BodyTooLarge: more rows or bytes than `limits` allow.
    """
    buffer = pa.py_buffer(body)
    check_stream(buffer, limits.max_decompressed_bytes)
    try:
        batches = _read_batches(buffer, limits.max_rows)
        return _raw_frames(batches) if batches else empty_raw()
    except (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
        raise BodyError(f"the body is no readable Arrow IPC stream: {error}") from error


def _read_batches(buffer: pa.Buffer, max_rows: int) -> list[pa.RecordBatch]:
    with pa.ipc.open_stream(buffer, options=_options([])) as reader:
        wanted = _wanted_fields(reader.schema)
        if len(wanted) == len(reader.schema):
            return _checked_batches(reader, max_rows)
    with pa.ipc.open_stream(buffer, options=_options(wanted)) as reader:
        return _checked_batches(reader, max_rows)


def _options(fields: list[int]) -> pa.ipc.IpcReadOptions:
    return pa.ipc.IpcReadOptions(
        included_fields=fields, use_threads=False, ensure_alignment=pa.ipc.Alignment.DataTypeSpecific
    )


def _checked_batches(reader: pa.RecordBatchStreamReader, max_rows: int) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = []
    rows = 0
    dictionary_bytes = 0
    position = reader.schema.get_field_index("vehicle_id")
    for batch in reader:
        rows += batch.num_rows
        if rows > max_rows:
            raise BodyTooLarge(f"the body has more than {max_rows} rows: send it in smaller parts")
        vehicle = batch.column(position)
        if isinstance(vehicle, pa.DictionaryArray):
            # Validation walks the whole dictionary again for every batch, however few rows that has.
            dictionary_bytes += vehicle.dictionary.get_total_buffer_size()
            if dictionary_bytes > _MOST_DICTIONARY_BYTES:
                raise BodyTooLarge("the batches' dictionaries are too large in all: send larger batches")
        batch.validate(full=True)
        if batch.num_rows:
            batches.append(batch)
    return batches


def _wanted_fields(schema: pa.Schema) -> list[int]:
    """Positions of the columns that frames have, in schema order."""
    wanted: list[int] = []
    for name in (*REQUIRED, *OPTIONAL):
        positions = schema.get_all_field_indices(name)
        expected, accepts = _EXPECTED[name]
        if not positions:
            if name in REQUIRED:
                raise BodyError(f"column {name!r} ({expected}) is missing; the body has {schema.names[:20]}")
            continue
        if len(positions) > 1:
            raise BodyError(f"column {name!r} is there {len(positions)} times")
        kind = schema.field(positions[0]).type
        # A writer that infers types gives an optional column without any value the type null.
        if not accepts(kind) and not (name in OPTIONAL and pa.types.is_null(kind)):
            raise BodyError(f"column {name!r} has type {str(kind)[:200]}, expected {expected}")
        wanted.append(positions[0])
    return sorted(wanted)


def _raw_frames(batches: list[pa.RecordBatch]) -> RawFrames:
    n = sum(batch.num_rows for batch in batches)
    fault = np.zeros(n, np.uint8)
    present = np.full(n, _ALL_REQUIRED, np.uint8)
    names = set(batches[0].schema.names)
    columns = {name: _joined(batches, name) for name in (*REQUIRED[1:], *OPTIONAL) if name in names}
    # A null-typed column holds no value, just as an absent one.
    columns = {name: column for name, column in columns.items() if not pa.types.is_null(column.type)}

    vehicles, vehicle = _vehicles([batch.column("vehicle_id") for batch in batches])
    timestamp = microseconds(columns["timestamp"])
    data = plain_bytes(columns["data"])
    offsets, payload = utf8_views(data)
    arbitration_id = integers(
        columns["arbitration_id"],
        np.uint32,
        Reason.ARBITRATION_ID_NEGATIVE,
        Reason.ARBITRATION_ID_TOO_LARGE,
        fault,
    )
    for name, bit in (("timestamp", HAS_TIMESTAMP), ("arbitration_id", HAS_ARBITRATION_ID), ("data", HAS_DATA)):
        _clear_nulls(present, columns[name], bit)

    def optional(name: str, dtype: type[np.generic], reason: Reason, bit: int) -> np.ndarray:
        column = columns.get(name)
        if column is None:
            return np.zeros(n, dtype)
        present[:] |= np.uint8(bit)
        _clear_nulls(present, column, bit)
        return integers(column, dtype, reason, reason, fault)

    def text(rows: I64) -> pa.StringArray:
        chosen = pa.array(rows)
        return row_text(
            vehicle_text(vehicles, vehicle[rows]),
            pa.array(timestamp[rows], mask=(present[rows] & HAS_TIMESTAMP) == 0),
            columns["arbitration_id"].take(chosen),
            data.take(chosen),
            {name: columns[name].take(chosen) for name in OPTIONAL if name in columns},
        )

    return RawFrames(
        vehicles=vehicles,
        vehicle=vehicle,
        timestamp=timestamp,
        arbitration_id=arbitration_id,
        offsets=offsets,
        payload=payload,
        extended=_extended(columns.get("is_extended"), n),
        channel=optional("channel", np.uint8, Reason.CHANNEL_OUT_OF_RANGE, 0),
        session=optional("session", np.uint32, Reason.SESSION_OUT_OF_RANGE, HAS_SESSION),
        sequence=optional("sequence", np.uint64, Reason.SEQUENCE_OUT_OF_RANGE, HAS_SEQUENCE),
        present=present,
        fault=fault,
        text=text,
    )


def _joined(batches: list[pa.RecordBatch], name: str) -> pa.Array:
    columns = [batch.column(name) for batch in batches]
    return columns[0] if len(columns) == 1 else pa.concat_arrays(columns)


def _clear_nulls(present: U8, column: pa.Array, bit: int) -> None:
    if column.null_count:
        missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
        present[missing] &= np.uint8(~bit & 0xFF)


def _extended(column: pa.Array | None, n: int) -> U8:
    if column is None:
        return np.full(n, EXTENDED_ABSENT, np.uint8)
    values = column.cast(pa.uint8())
    return np.asarray((values.fill_null(EXTENDED_ABSENT) if values.null_count else values).to_numpy())


def _vehicles(columns: list[pa.Array]) -> tuple[pa.StringArray, I32]:
    """One dictionary of distinct ids and each row's index into it, -1 where null."""
    if not pa.types.is_dictionary(columns[0].type):
        encoded = plain_text(columns[0] if len(columns) == 1 else pa.concat_arrays(columns)).dictionary_encode()
        return encoded.dictionary, _indices(encoded.indices)
    if len(columns) == 1:
        return merge([plain_text(columns[0].dictionary)], [_indices(columns[0].indices)])
    # The batches of a stream mostly share one dictionary: hash it once.
    dictionaries: list[pa.StringArray] = []
    indices: list[list[I32]] = []
    shared: tuple[int, ...] | None = None
    for column in columns:
        dictionary = column.dictionary
        place = (len(dictionary), dictionary.offset, *(b.address if b else 0 for b in dictionary.buffers()))
        if place != shared:
            dictionaries.append(plain_text(dictionary))
            indices.append([])
            shared = place
        indices[-1].append(_indices(column.indices))
    return merge(dictionaries, [np.concatenate(runs) if len(runs) > 1 else runs[0] for runs in indices])


def _indices(indices: pa.Array) -> I32:
    if indices.type != pa.int32():
        indices = indices.cast(pa.int32())
    return frozen((indices.fill_null(-1) if indices.null_count else indices).to_numpy())
