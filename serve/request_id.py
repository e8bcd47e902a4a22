"""Whose request it is: its id, taken over from the caller where it is plain, and the address it came from."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

SANE_REQUEST_ID: Final = "[A-Za-z0-9._-]{1,128}"
"""Pattern of the request ids taken over from callers, which go into logs and answers."""


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The caller's `X-Request-Id` if it is 1–128 plain characters (it goes into logs), else a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if re.fullmatch(SANE_REQUEST_ID, given) else uuid.uuid4().hex


def address_of(headers: Mapping[bytes, bytes], scope: Scope) -> str:
    """The client's address: what HAProxy says (`serve/haproxy.py` lets nobody else say it), or the peer's."""
    given = headers.get(b"x-canfleet-address")
    return given.decode("latin-1") if given is not None else (scope.get("client") or ("unknown",))[0]
