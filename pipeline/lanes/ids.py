"""Arbitration ids as one number, the 29-bit ones apart from 11-bit ones of the same value."""

from __future__ import annotations

from typing import Final

from pipeline.frames.schema import MAX_EXTENDED_ID, MAX_STANDARD_ID

EXTENDED: Final = 1 << 31
"""Set in the key of a 29-bit id, as Linux does (`CAN_EFF_FLAG`)."""
_EXTENDED_DIGITS: Final = 8


def id_key(given: int | str) -> int:
    """The key of an id in a configuration: a number, or hexadecimal text with or without `0x`.

    Text of eight digits is a 29-bit id whatever its value, as in candump's logs; else the value decides.

    Raises:
        ValueError: it is no id of 11 or 29 bits.
    """
    if isinstance(given, str):
        digits = given.lower().removeprefix("0x")
        value = int(digits, 16)
        extended = len(digits) == _EXTENDED_DIGITS or value > MAX_STANDARD_ID
    else:
        value, extended = given, given > MAX_STANDARD_ID
    if not 0 <= value <= MAX_EXTENDED_ID:
        raise ValueError(f"{given!r} is no arbitration id: it has more than 29 bits")
    return value | (EXTENDED if extended else 0)
