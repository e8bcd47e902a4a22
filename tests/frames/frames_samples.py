"""Bodies and batches that the tests of frames share, and a plain-Python oracle of validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.frames.limits import FrameLimits
from pipeline.frames.raw import RawFrames

NOW_US = 1_790_000_000_000_000
LIMITS = FrameLimits()
SHARED = Path(__file__).parents[2].parent / "shared" / "data"

TYPES = {
    "vehicle_id": pa.utf8(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "arbitration_id": pa.uint32(),
    "data": pa.binary(),
    "is_extended": pa.bool_(),
    "channel": pa.uint8(),
    "session": pa.uint32(),
    "sequence": pa.uint64(),
}


def row(**changes: Any) -> dict[str, Any]:
    """One good frame with some columns changed; an Ellipsis takes the column away."""
    frame = {
        "vehicle_id": "truck-7",
        "timestamp": NOW_US - 5_000_000,
        "arbitration_id": 0x123,
        "data": b"\x01\x02\xff",
        "is_extended": False,
        "channel": 2,
        "session": 3,
        "sequence": 9,
    } | changes
    return {name: value for name, value in frame.items() if value is not ...}


def table(rows: list[dict[str, Any]], **types: pa.DataType) -> pa.RecordBatch:
    """Rows as a batch, its columns those of the first row, with types of the contract unless given."""
    kinds = TYPES | types
    names = [name for name in TYPES if name in rows[0]]
    return pa.record_batch({name: pa.array([r[name] for r in rows], kinds[name]) for name in names})


def stream(*batches: pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def json_row(frame: dict[str, Any]) -> str:
    data = frame.get("data")
    return json.dumps(frame | ({"data": data.hex()} if isinstance(data, bytes) else {}))


def ndjson(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(json_row(frame) for frame in rows).encode()


def shown(frames: pa.RecordBatch) -> list[dict[str, Any]]:
    """A canonical batch as rows, timestamps as integers."""
    position = frames.schema.get_field_index("timestamp")
    return frames.set_column(position, "timestamp", frames.column("timestamp").cast(pa.int64())).to_pylist()


def columns_of(raw: RawFrames) -> list[tuple[Any, ...]]:
    """What a reader gave, comparable: values that are not present are left out."""
    rows = []
    for i in range(len(raw)):
        has = int(raw.present[i])
        rows.append(
            (
                raw.vehicles[int(raw.vehicle[i])].as_py() if raw.vehicle[i] >= 0 else None,
                int(raw.timestamp[i]) if has & 1 else None,
                int(raw.arbitration_id[i]) if has & 2 else None,
                raw.payload[raw.offsets[i] : raw.offsets[i + 1]].tobytes() if has & 4 else None,
                int(raw.extended[i]),
                int(raw.channel[i]),
                int(raw.session[i]) if has & 8 else None,
                int(raw.sequence[i]) if has & 16 else None,
                int(raw.fault[i]),
            )
        )
    return rows


def expected_reason(frame: dict[str, Any], limits: FrameLimits = LIMITS, now_us: int = NOW_US) -> str | None:
    """The first broken rule, straight from its wording: values are of the right Python types, or None."""
    vehicle, timestamp, number, data = (frame.get(k) for k in ("vehicle_id", "timestamp", "arbitration_id", "data"))
    session, sequence, channel = frame.get("session"), frame.get("sequence"), frame.get("channel")
    rules: list[tuple[str, bool]] = [
        ("vehicle_id_missing", vehicle is None),
        ("vehicle_id_empty", vehicle == ""),
        ("vehicle_id_too_long", vehicle is not None and len(vehicle) > 64),
        (
            "vehicle_id_control_character",
            vehicle is not None and any(ord(c) < 32 or 127 <= ord(c) < 160 for c in vehicle),
        ),
        ("timestamp_missing", timestamp is None),
        ("timestamp_too_old", timestamp is not None and timestamp < 946_684_800_000_000),
        ("timestamp_in_future", timestamp is not None and timestamp > now_us + limits.max_future_s * 1_000_000),
        ("arbitration_id_missing", number is None),
        ("arbitration_id_negative", number is not None and number < 0),
        ("arbitration_id_too_large", number is not None and number >= 1 << 29),
        (
            "arbitration_id_not_standard",
            number is not None and number >= 1 << 11 and frame.get("is_extended") is False,
        ),
        ("data_missing", data is None),
        ("data_too_long", data is not None and len(data) > 64),
        ("channel_out_of_range", channel is not None and not 0 <= channel < 1 << 8),
        ("session_out_of_range", session is not None and not 0 <= session < 1 << 32),
        ("sequence_out_of_range", sequence is not None and not 0 <= sequence < 1 << 64),
        ("session_without_sequence", session is not None and sequence is None),
        ("sequence_without_session", sequence is not None and session is None),
    ]
    return next((reason for reason, broken in rules if broken), None)


def expected_frame(frame: dict[str, Any]) -> dict[str, Any]:
    """A good row as it must come out."""
    extended = frame.get("is_extended")
    return {
        "vehicle_id": frame["vehicle_id"],
        "timestamp": frame["timestamp"],
        "arbitration_id": frame["arbitration_id"],
        "data": frame["data"],
        "is_extended": frame["arbitration_id"] > 0x7FF if extended is None else extended,
        "channel": frame.get("channel") or 0,
        "session": frame.get("session"),
        "sequence": frame.get("sequence"),
    }
