"""Request ids: taken over from the caller where they are plain, made where they are not."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Final

SANE_REQUEST_ID: Final = "[A-Za-z0-9._-]{1,128}"
"""Pattern of the request ids taken over from callers, which go into logs and answers."""


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The caller's `X-Request-Id` if it is 1–128 plain characters (it goes into logs), else a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if re.fullmatch(SANE_REQUEST_ID, given) else uuid.uuid4().hex
