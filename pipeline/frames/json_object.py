"""Read one JSON object as a frame, completely and with every fault named: the slow path of JSON bodies."""

from __future__ import annotations

import binascii
import json
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson

from pipeline.frames.raw import (
    EXTENDED_ABSENT,
    HAS_ARBITRATION_ID,
    HAS_DATA,
    HAS_SEQUENCE,
    HAS_SESSION,
    HAS_TIMESTAMP,
)
from pipeline.frames.reasons import Reason
from pipeline.frames.rfc3339 import parse_rfc3339

_I64_MIN: Final = -(2**63)
_I64_MAX: Final = 2**63 - 1


@dataclass(slots=True)
class ReadObject:
    """One row of `RawFrames`: the same values with the same meaning, `fault` the lowest code found."""

    fault: int = 0
    vehicle_id: str | None = None
    timestamp: int = 0
    arbitration_id: int = 0
    data: bytes = b""
    extended: int = EXTENDED_ABSENT
    channel: int = 0
    session: int = 0
    sequence: int = 0
    present: int = 0

    def blame(self, reason: Reason) -> None:
        """Note a fault; the one with the lowest code stays."""
        self.fault = min(self.fault, int(reason)) if self.fault else int(reason)


def read_object(text: bytes) -> ReadObject:
    """Read the text of one row. Never raises: what is wrong with it stands in `fault`."""
    read = ReadObject()
    try:
        row = parse_json(text)
    except ValueError:
        read.blame(Reason.NOT_JSON)
        return read
    if not isinstance(row, dict):
        read.blame(Reason.NOT_AN_OBJECT)
        return read
    _read_vehicle(read, row.get("vehicle_id"))
    _read_timestamp(read, row.get("timestamp"))
    _read_arbitration_id(read, row.get("arbitration_id"))
    _read_data(read, row.get("data"))
    _read_extended(read, row.get("is_extended"))
    channel = row.get("channel")
    if channel is not None:
        read.channel = _unsigned(read, channel, 8, Reason.CHANNEL_WRONG_TYPE, Reason.CHANNEL_OUT_OF_RANGE)
    session = row.get("session")
    if session is not None:
        read.present |= HAS_SESSION
        read.session = _unsigned(read, session, 32, Reason.SESSION_WRONG_TYPE, Reason.SESSION_OUT_OF_RANGE)
    sequence = row.get("sequence")
    if sequence is not None:
        read.present |= HAS_SEQUENCE
        read.sequence = _unsigned(read, sequence, 64, Reason.SEQUENCE_WRONG_TYPE, Reason.SEQUENCE_OUT_OF_RANGE)
    return read


def parse_json(text: bytes) -> object:
    """The JSON value of the text; NaN and infinities, which JSON lacks but many writers emit, become floats.

    Raises:
        ValueError: it is not JSON even so.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if b"NaN" not in text and b"Infinity" not in text:
            raise
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _wrong(read: ReadObject, value: object, reason: Reason) -> None:
    read.blame(Reason.NOT_A_NUMBER if isinstance(value, float) and not math.isfinite(value) else reason)


def _read_vehicle(read: ReadObject, value: object) -> None:
    if isinstance(value, str) and _is_unicode(value):
        read.vehicle_id = value
    elif value is not None:
        _wrong(read, value, Reason.VEHICLE_ID_WRONG_TYPE)


def _is_unicode(value: str) -> bool:
    """Whether it is free of lone surrogates, which no UTF-8 text can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_timestamp(read: ReadObject, value: object) -> None:
    if value is None:
        return
    read.present |= HAS_TIMESTAMP
    if isinstance(value, str):
        good, microseconds = False, 0
        if value.isascii():
            text = np.frombuffer(value.encode(), np.uint8)
            good, microseconds = parse_rfc3339(text, 0, len(text))
        if not good:
            read.blame(Reason.TIMESTAMP_NOT_RFC3339)
        read.timestamp = microseconds
        return
    number = _integer(value)
    if number is None:
        _wrong(read, value, Reason.TIMESTAMP_WRONG_TYPE)
    else:
        # Saturated, it fails the bounds of time later.
        read.timestamp = min(max(number, _I64_MIN), _I64_MAX)


def _read_arbitration_id(read: ReadObject, value: object) -> None:
    if value is None:
        return
    read.present |= HAS_ARBITRATION_ID
    number = _integer(value)
    if number is None:
        _wrong(read, value, Reason.ARBITRATION_ID_WRONG_TYPE)
    elif number < 0:
        read.blame(Reason.ARBITRATION_ID_NEGATIVE)
    elif number >= 1 << 32:
        read.blame(Reason.ARBITRATION_ID_TOO_LARGE)
    else:
        read.arbitration_id = number


def _read_data(read: ReadObject, value: object) -> None:
    if value is None:
        return
    read.present |= HAS_DATA
    if not isinstance(value, str):
        _wrong(read, value, Reason.DATA_WRONG_TYPE)
        return
    try:
        read.data = binascii.unhexlify(value)
    except ValueError:
        read.blame(Reason.DATA_NOT_HEXADECIMAL)


def _read_extended(read: ReadObject, value: object) -> None:
    if isinstance(value, bool):
        read.extended = int(value)
    elif value is not None:
        _wrong(read, value, Reason.IS_EXTENDED_WRONG_TYPE)


def _unsigned(read: ReadObject, value: object, bits: int, wrong: Reason, out_of_range: Reason) -> int:
    number = _integer(value)
    if number is None:
        _wrong(read, value, wrong)
    elif 0 <= number < 1 << bits:
        return number
    else:
        read.blame(out_of_range)
    return 0


def _integer(value: object) -> int | None:
    """The value as an integer; None if it is none.

    An integer literal past 64 bits reaches us as a float: from 2^63 on a float counts as that integer, so that
    it is called out of range. Smaller floats are no integers here, even 1.0.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value) and abs(value) >= float(1 << 63):
        return int(value)
    return None
