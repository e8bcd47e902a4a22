"""RFC 3339 date-times to microseconds since the epoch."""

from __future__ import annotations

from numba import njit

from pipeline.types import U8


@njit(cache=True, nogil=True, fastmath=False)
def _number(text: U8, start: int, stop: int) -> int:
    """The decimal digits as a number, -1 if one is no digit."""
    value = 0
    for i in range(start, stop):
        if text[i] < 48 or text[i] > 57:
            return -1
        value = value * 10 + (text[i] - 48)
    return value


@njit(cache=True, nogil=True, fastmath=False)
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01, proleptic Gregorian calendar (Howard Hinnant, `days_from_civil`)."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@njit(cache=True, nogil=True, fastmath=False)
def _days_in_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@njit(cache=True, nogil=True, fastmath=False)
def parse_rfc3339(text: U8, start: int, stop: int) -> tuple[bool, int]:
    """Whether `text[start:stop]` is an RFC 3339 date-time, and its microseconds since the epoch.

    The offset is required, as RFC 3339 has it. "T" and "Z" may be lower case, a space may stand for the "T".
    Digits past the microsecond are cut off. A leap second (":60") is the first second of the next minute. O(length).
    """
    nothing = 0
    if stop - start < 20:
        return False, nothing
    year, month, day = (
        _number(text, start, start + 4),
        _number(text, start + 5, start + 7),
        _number(text, start + 8, start + 10),
    )
    hour, minute = _number(text, start + 11, start + 13), _number(text, start + 14, start + 16)
    second = _number(text, start + 17, start + 19)
    t = text[start + 10]
    if text[start + 4] != 45 or text[start + 7] != 45 or text[start + 13] != 58 or text[start + 16] != 58:
        return False, nothing
    if t not in (84, 116, 32):
        return False, nothing
    if year < 0 or month < 1 or month > 12 or day < 1 or day > _days_in_month(year, month):
        return False, nothing
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 60:
        return False, nothing
    at = start + 19
    fraction = 0
    if text[at] == 46:
        at += 1
        digits = 0
        while at < stop and 48 <= text[at] <= 57:
            if digits < 6:
                fraction = fraction * 10 + (text[at] - 48)
            digits += 1
            at += 1
        if digits == 0:
            return False, nothing
        for _ in range(digits, 6):
            fraction *= 10
    if at >= stop:
        return False, nothing
    offset = 0
    sign = text[at]
    if sign in (90, 122):
        at += 1
    elif sign in (43, 45) and stop - at == 6 and text[at + 3] == 58:
        hours, minutes = _number(text, at + 1, at + 3), _number(text, at + 4, at + 6)
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return False, nothing
        offset = (hours * 60 + minutes) * (60 if sign == 43 else -60)
        at += 6
    if at != stop or sign not in (90, 122, 43, 45):
        return False, nothing
    seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    return True, seconds * 1_000_000 + fraction
