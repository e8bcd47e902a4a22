"""A numbered CAN frame: taken from python-can, packed for the spool, written as a line for the platform."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, Final, Self

from edge.record import HEADER_BYTES

_PACKED: Final = struct.Struct("<QQIBB")
_EARLIEST_S: Final = 978_307_200.0
"""The start of 2001. Some interfaces count from their own start; no vehicle sends frames from before."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One CAN frame, numbered by the vehicle.

    Attributes:
        timestamp_us: event time, microseconds since 1970, UTC.
        arbitration_id: 11 or 29 bits.
        is_extended: whether the id has 29 bits.
        channel: number of the bus in the vehicle, 0–255.
        data: 0–64 bytes.
        session: number of the start that saw it, see `edge.session`.
        sequence: its place in that session, from 0.
    """

    timestamp_us: int
    arbitration_id: int
    is_extended: bool
    channel: int
    data: bytes
    session: int
    sequence: int

    @classmethod
    def of_message(cls, message: Any, session: int, sequence: int, channel: int, now_s: float) -> Self:  # noqa: ANN401 - python-can is untyped here
        """The frame of a `can.Message`; one whose time is not of this century gets `now_s`, seconds since 1970."""
        seen_s = message.timestamp if message.timestamp >= _EARLIEST_S else now_s
        return cls(
            timestamp_us=round(seen_s * 1e6),
            arbitration_id=message.arbitration_id,
            is_extended=message.is_extended_id,
            channel=channel,
            data=bytes(message.data),
            session=session,
            sequence=sequence,
        )

    @property
    def stored_bytes(self) -> int:
        """What the frame takes in a segment file, in bytes."""
        return HEADER_BYTES + _PACKED.size + len(self.data)

    def pack(self) -> bytes:
        """The frame without its session, which the segment knows."""
        return (
            _PACKED.pack(self.timestamp_us, self.sequence, self.arbitration_id, self.is_extended, self.channel)
            + self.data
        )

    @classmethod
    def unpack(cls, payload: bytes, session: int) -> Self:
        """What `pack` packed. Raises struct.error: the payload is too short to be a frame."""
        timestamp_us, sequence, arbitration_id, is_extended, channel = _PACKED.unpack_from(payload)
        data = payload[_PACKED.size :]
        return cls(timestamp_us, arbitration_id, bool(is_extended), channel, data, session, sequence)

    def as_json(self) -> str:
        """The members of the frame's JSON object but `vehicle_id`, without the braces."""
        return (
            f'"timestamp":{self.timestamp_us},"arbitration_id":{self.arbitration_id},'
            f'"is_extended":{"true" if self.is_extended else "false"},"channel":{self.channel},'
            f'"session":{self.session},"sequence":{self.sequence},"data":"{self.data.hex()}"'
        )


def channel_number(name: object) -> int:
    """The number of a python-can channel: 3 of 3 or `can3`; 0 of a name without one, or with one above 255."""
    found = re.search(r"\d+$", str(name))
    number = int(found.group()) if found else 0
    return number if number <= 255 else 0
