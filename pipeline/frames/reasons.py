"""Why a row is rejected: every reason, its stable word, and the order in which they are looked for."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

FIRST_VALIDATE_CODE: Final = 50


class Reason(IntEnum):
    """A fault of one row. Of several, the one with the lowest code is reported.

    Codes below 50 are of stage "parse" (the value cannot be read), the others of stage "validate" (it was
    read and breaks a rule). The kernels and their caches hold the codes: add new ones, never renumber.
    """

    NOT_JSON = 1
    NOT_AN_OBJECT = 2
    NOT_A_NUMBER = 3
    VEHICLE_ID_WRONG_TYPE = 4
    TIMESTAMP_WRONG_TYPE = 5
    TIMESTAMP_NOT_RFC3339 = 6
    ARBITRATION_ID_WRONG_TYPE = 7
    DATA_WRONG_TYPE = 8
    DATA_NOT_HEXADECIMAL = 9
    IS_EXTENDED_WRONG_TYPE = 10
    CHANNEL_WRONG_TYPE = 11
    SESSION_WRONG_TYPE = 12
    SEQUENCE_WRONG_TYPE = 13

    VEHICLE_ID_MISSING = 50
    VEHICLE_ID_EMPTY = 51
    VEHICLE_ID_TOO_LONG = 52
    VEHICLE_ID_CONTROL_CHARACTER = 53
    TIMESTAMP_MISSING = 54
    TIMESTAMP_TOO_OLD = 55
    TIMESTAMP_IN_FUTURE = 56
    ARBITRATION_ID_MISSING = 57
    ARBITRATION_ID_NEGATIVE = 58
    ARBITRATION_ID_TOO_LARGE = 59
    ARBITRATION_ID_NOT_STANDARD = 60
    DATA_MISSING = 61
    DATA_TOO_LONG = 62
    CHANNEL_OUT_OF_RANGE = 63
    SESSION_OUT_OF_RANGE = 64
    SEQUENCE_OUT_OF_RANGE = 65
    SESSION_WITHOUT_SEQUENCE = 66
    SEQUENCE_WITHOUT_SESSION = 67

    @property
    def word(self) -> str:
        """The word that dead letters carry, e.g. `timestamp_too_old`."""
        return self.name.lower()

    @property
    def stage(self) -> str:
        """Where the row failed: "parse" or "validate"."""
        return "parse" if self < FIRST_VALIDATE_CODE else "validate"


MEANING: Final[dict[Reason, str]] = {
    Reason.NOT_JSON: "the line or list element is not JSON",
    Reason.NOT_AN_OBJECT: "it is JSON, but not an object",
    Reason.NOT_A_NUMBER: "NaN or an infinity stands where a value belongs",
    Reason.VEHICLE_ID_WRONG_TYPE: "vehicle_id is not a string",
    Reason.TIMESTAMP_WRONG_TYPE: "timestamp is neither a string nor an integer (of microseconds)",
    Reason.TIMESTAMP_NOT_RFC3339: "timestamp is a string, but no RFC 3339 date-time with its offset or Z",
    Reason.ARBITRATION_ID_WRONG_TYPE: "arbitration_id is not an integer",
    Reason.DATA_WRONG_TYPE: "data is not a string",
    Reason.DATA_NOT_HEXADECIMAL: "data is not an even number of hexadecimal digits",
    Reason.IS_EXTENDED_WRONG_TYPE: "is_extended is neither true nor false",
    Reason.CHANNEL_WRONG_TYPE: "channel is not an integer",
    Reason.SESSION_WRONG_TYPE: "session is not an integer",
    Reason.SEQUENCE_WRONG_TYPE: "sequence is not an integer",
    Reason.VEHICLE_ID_MISSING: "vehicle_id is null or absent",
    Reason.VEHICLE_ID_EMPTY: "vehicle_id has no character",
    Reason.VEHICLE_ID_TOO_LONG: "vehicle_id has more than 64 characters",
    Reason.VEHICLE_ID_CONTROL_CHARACTER: "vehicle_id holds a control character (U+0000-001F, U+007F-009F)",
    Reason.TIMESTAMP_MISSING: "timestamp is null or absent",
    Reason.TIMESTAMP_TOO_OLD: "timestamp lies before the earliest one accepted",
    Reason.TIMESTAMP_IN_FUTURE: "timestamp lies too far after the time of receipt",
    Reason.ARBITRATION_ID_MISSING: "arbitration_id is null or absent",
    Reason.ARBITRATION_ID_NEGATIVE: "arbitration_id is below zero",
    Reason.ARBITRATION_ID_TOO_LARGE: "arbitration_id has more than 29 bits",
    Reason.ARBITRATION_ID_NOT_STANDARD: "arbitration_id has more than 11 bits though is_extended is false",
    Reason.DATA_MISSING: "data is null or absent",
    Reason.DATA_TOO_LONG: "data has more than 64 bytes",
    Reason.CHANNEL_OUT_OF_RANGE: "channel is not within 0 to 255",
    Reason.SESSION_OUT_OF_RANGE: "session is not within 0 to 2^32 - 1",
    Reason.SEQUENCE_OUT_OF_RANGE: "sequence is not within 0 to 2^64 - 1",
    Reason.SESSION_WITHOUT_SEQUENCE: "session is given without sequence",
    Reason.SEQUENCE_WITHOUT_SESSION: "sequence is given without session",
}


def meaning_of(word: str) -> str | None:
    """The meaning of a reason by its word; None for one that is no fault of a row, or of another version."""
    return MEANING[Reason[word.upper()]] if word.upper() in Reason.__members__ else None
