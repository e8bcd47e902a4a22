"""Points and spans of time as callers write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from serve.problems import ProblemError, bad_request

LATEST_US: Final = 1 << 53
"""The year 2255: later than any timestamp, and exact in every JSON reader."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPACED_OFFSET: Final = re.compile(r" (\d\d:\d\d)$")
_INTEGER: Final = re.compile(r"-?\d{1,16}")
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(us|ms|s|m|h|d)?")
_UNITS_US: Final = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def as_datetime(microseconds: int) -> datetime:
    """A point in time as a UTC datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)


def moment(text: str | None, name: str) -> int | None:
    """A point in time given by a caller, in microseconds since the epoch; None stays None.

    Raises:
        ProblemError: 400, the text is neither RFC 3339 nor an integer.
    """
    if text is None or text == "":
        return None
    if _INTEGER.fullmatch(text):
        return _within(int(text), name)
    try:
        # The plus of an offset arrives as a space when the caller did not escape it.
        given = datetime.fromisoformat(_SPACED_OFFSET.sub(r"+\1", text.upper()))
    except ValueError:
        given = None
    if given is None or given.tzinfo is None:
        raise ProblemError(
            bad_request(f"`{name}` must be RFC 3339 with a time zone, as 2026-01-31T12:00:00Z, or integer microseconds")
        )
    return _within((given - _EPOCH) // timedelta(microseconds=1), name)


def span(text: str | None, name: str) -> int | None:
    """A length of time given by a caller, in microseconds: seconds, or a number with us, ms, s, m, h or d.

    Raises:
        ProblemError: 400, the text is neither, or not more than zero.
    """
    if text is None or text == "":
        return None
    match = _SPAN.fullmatch(text)
    microseconds = round(float(match[1]) * _UNITS_US[match[2] or "s"]) if match else 0
    if microseconds <= 0:
        raise ProblemError(bad_request(f"`{name}` must be seconds, or a span such as 500ms, 10s, 5m, 1h or 1d"))
    return min(microseconds, LATEST_US)


def _within(microseconds: int, name: str) -> int:
    if not 0 <= microseconds <= LATEST_US:
        raise ProblemError(bad_request(f"`{name}` lies outside the years 1970 to 2255"))
    return microseconds
