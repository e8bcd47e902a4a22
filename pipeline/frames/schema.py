"""The Arrow schema of frames: what clients send, and the canonical form everything behind the door uses."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")

CANONICAL: Final = pa.schema(
    [
        pa.field("vehicle_id", pa.dictionary(pa.int32(), pa.utf8()), nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("arbitration_id", pa.uint32(), nullable=False),
        pa.field("data", pa.binary(), nullable=False),
        pa.field("is_extended", pa.bool_(), nullable=False),
        pa.field("channel", pa.uint8(), nullable=False),
        pa.field("session", pa.uint32()),
        pa.field("sequence", pa.uint64()),
    ]
)
"""One row per CAN frame. `session` and `sequence` are both null where the vehicle keeps no counter."""

REQUIRED: Final = ("vehicle_id", "timestamp", "arbitration_id", "data")
OPTIONAL: Final = ("is_extended", "channel", "session", "sequence")

MAX_STANDARD_ID: Final = 0x7FF
MAX_EXTENDED_ID: Final = 0x1FFFFFFF
MAX_DATA_BYTES: Final = 64
MAX_VEHICLE_ID_CHARACTERS: Final = 64
