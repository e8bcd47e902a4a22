"""HTTP status codes of ClickHouse's exception codes, as its own HTTP handler maps them."""

from __future__ import annotations

import re
from typing import Final

_FORBIDDEN: Final = frozenset([192, 193, 512, 516])
_BAD_REQUEST: Final = frozenset(
    [6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676]
)
_NOT_FOUND: Final = frozenset([46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511])
_SINGLE: Final = {48: 501, 76: 503, 159: 408, 194: 401, 209: 503, 229: 413, 381: 411, 439: 503}

UNKNOWN_EXCEPTION: Final = 1002

_CODE: Final = re.compile(r"Code: (\d+)\. ")


def exception_code(message: str) -> int:
    """The number in `Code: 60. DB::Exception: ...`; 1002, ClickHouse's UNKNOWN_EXCEPTION, where there is none."""
    found = _CODE.search(message)
    return int(found[1]) if found else UNKNOWN_EXCEPTION


def http_status(code: int) -> int:
    """HTTP status of an exception code."""
    if code in _FORBIDDEN:
        return 403
    if code in _BAD_REQUEST:
        return 400
    if code in _NOT_FOUND:
        return 404
    return _SINGLE.get(code, 500)
