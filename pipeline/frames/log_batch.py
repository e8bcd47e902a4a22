"""Canonical batches built from the rows of a log file."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.frames.schema import CANONICAL, TIMESTAMP
from pipeline.types import F64, I32, I64, U8, U32, Bools

if TYPE_CHECKING:
    import can

_NUMBER_AT_END: Final = re.compile(r"(\d+)$", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Part of a log file.

    Attributes:
        frames: its data frames, schema `CANONICAL`, without session and sequence.
        skipped: how many error and remote frames were left out since the batch before.
    """

    frames: pa.RecordBatch
    skipped: int


def channel_number(channel: int | str | None) -> int:
    """A channel as 0 to 255, the same for the same channel always.

    None is 0. A number is itself, a name its number at the end ("can1", "vcan1" and "CAN 1" are 1), both modulo
    256. A name without a number is the lowest byte of its CRC-32.
    """
    if channel is None:
        return 0
    if isinstance(channel, str):
        number = _NUMBER_AT_END.search(channel.strip())
        return (int(number[1]) if number else zlib.crc32(channel.strip().encode())) & 0xFF
    return channel & 0xFF


def microseconds_of(seconds: F64, shift_us: int) -> I64:
    """Seconds since the epoch, rounded to the microsecond, plus a shift.

    A float64 of this century's seconds is exact to 0.24 µs, so that six decimals come back as they were written.
    """
    return np.rint(seconds * 1e6).astype(np.int64) + shift_us


def frames_of(
    vehicle_id: str, *, timestamp: I64, arbitration_id: U32, extended: Bools, channel: U8, offsets: I32, payload: U8
) -> pa.RecordBatch:
    """One vehicle's frames as a batch of schema `CANONICAL`; arguments as in `FrameColumns`, all of n rows. O(n)."""
    n = len(timestamp)
    data = pa.Array.from_buffers(pa.binary(), n, [None, pa.py_buffer(offsets), pa.py_buffer(payload)], 0)
    return pa.RecordBatch.from_arrays(
        [
            pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(n, np.int32)), pa.array([vehicle_id][: min(n, 1)], pa.utf8())
            ),
            pa.array(timestamp).view(TIMESTAMP),
            pa.array(arbitration_id),
            data,
            pa.array(extended),
            pa.array(channel),
            pa.nulls(n, pa.uint32()),
            pa.nulls(n, pa.uint64()),
        ],
        schema=CANONICAL,
    )


@dataclass(slots=True)
class LogRows:
    """Rows gathered one by one, from readers that give one message at a time."""

    vehicle_id: str
    shift_us: int
    timestamps: list[float] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    extended: list[bool] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    skipped: int = 0

    def __len__(self) -> int:
        """How many rows."""
        return len(self.ids)

    def add(self, message: can.Message) -> None:
        """Take a `can.Message`; error and remote frames are only counted."""
        if message.is_error_frame or message.is_remote_frame:
            self.skipped += 1
            return
        self.timestamps.append(message.timestamp)
        self.ids.append(message.arbitration_id)
        self.extended.append(message.is_extended_id)
        self.channels.append(channel_number(message.channel))
        self.data.append(bytes(message.data))

    def take(self) -> LogBatch:
        """All rows as a batch; none are left."""
        offsets = np.zeros(len(self) + 1, np.int32)
        np.cumsum([len(data) for data in self.data], out=offsets[1:])
        frames = frames_of(
            self.vehicle_id,
            timestamp=microseconds_of(np.array(self.timestamps, np.float64), self.shift_us),
            arbitration_id=_unsigned(self.ids),
            extended=np.array(self.extended, np.bool_),
            channel=np.array(self.channels, np.uint8),
            offsets=offsets,
            payload=np.frombuffer(b"".join(self.data), np.uint8),
        )
        batch = LogBatch(frames, self.skipped)
        for values in (self.timestamps, self.ids, self.extended, self.channels, self.data):
            values.clear()
        self.skipped = 0
        return batch


def _unsigned(ids: list[int]) -> NDArray[np.uint32]:
    """Ids as uint32; one past 32 bits becomes the largest, which validation rejects as too large."""
    return np.array([min(number, 0xFFFFFFFF) for number in ids], np.uint32)
