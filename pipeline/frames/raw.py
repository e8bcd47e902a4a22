"""What every reader hands to validation: typed columns, with faults and absences marked row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.types import I32, I64, U8, U32, U64

HAS_TIMESTAMP: Final = 1
HAS_ARBITRATION_ID: Final = 2
HAS_DATA: Final = 4
HAS_SESSION: Final = 8
HAS_SEQUENCE: Final = 16

EXTENDED_ABSENT: Final = 2


@dataclass(frozen=True, slots=True)
class RawFrames:
    """`n` rows as a reader understood them, nothing checked but types.

    A value that is absent, null or unreadable holds any value of its dtype; `present` and `fault` tell.

    Attributes:
        vehicles: distinct vehicle ids, Arrow utf8, no nulls; some may be used by no row.
        vehicle: int32[n], index into `vehicles`, -1 where null or absent.
        timestamp: int64[n], microseconds since the epoch, saturated where out of range.
        arbitration_id: uint32[n].
        offsets: int32[n + 1], row i's data is `payload[offsets[i]:offsets[i + 1]]`.
        payload: uint8[...].
        extended: uint8[n], 0 false, 1 true, 2 absent.
        channel: uint8[n], 0 where absent.
        session: uint32[n].
        sequence: uint64[n].
        present: uint8[n], the HAS_... bits of the columns that have a value.
        fault: uint8[n], the `Reason` code that reading found, 0 for none.
        text: gives the original text of the rows (int64[k]) as Arrow utf8[k], for dead letters.
    """

    vehicles: pa.StringArray
    vehicle: I32
    timestamp: I64
    arbitration_id: U32
    offsets: I32
    payload: U8
    extended: U8
    channel: U8
    session: U32
    sequence: U64
    present: U8
    fault: U8
    text: Callable[[I64], pa.StringArray]

    def __len__(self) -> int:
        """How many rows."""
        return len(self.vehicle)


def empty_raw() -> RawFrames:
    """No rows."""
    return RawFrames(
        vehicles=pa.array([], pa.utf8()),
        vehicle=np.zeros(0, np.int32),
        timestamp=np.zeros(0, np.int64),
        arbitration_id=np.zeros(0, np.uint32),
        offsets=np.zeros(1, np.int32),
        payload=np.zeros(0, np.uint8),
        extended=np.zeros(0, np.uint8),
        channel=np.zeros(0, np.uint8),
        session=np.zeros(0, np.uint32),
        sequence=np.zeros(0, np.uint64),
        present=np.zeros(0, np.uint8),
        fault=np.zeros(0, np.uint8),
        text=lambda rows: pa.array([], pa.utf8()),
    )
