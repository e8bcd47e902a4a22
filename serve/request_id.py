"""Whose request it is: its id, taken over from the caller where it is plain, and the address it came from."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from starlette.types import Scope

SANE_REQUEST_ID: Final = "[A-Za-z0-9._-]{1,128}"
"""Pattern of the request ids taken over from callers, which go into logs and answers."""
ADDRESS_HEADER: Final = "x-canfleet-address"
"""Header in which HAProxy tells the replicas the client's address; what clients say there is overwritten."""

_ADDRESS: Final = ADDRESS_HEADER.encode()
# Version ff, and ids of nothing but zeros, are invalid by the specification.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The caller's `X-Request-Id` if it is 1–128 plain characters (it goes into logs), else a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if re.fullmatch(SANE_REQUEST_ID, given) else uuid.uuid4().hex


def traceparent_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The W3C trace context, if the caller sent a well-formed one."""
    text = headers.get(b"traceparent", b"").decode("latin-1")
    return text if _TRACEPARENT.fullmatch(text) else None


def address_of(headers: Mapping[bytes, bytes], scope: Scope) -> str:
    """The client's address: what HAProxy says (`serve/haproxy.py` lets nobody else say it), or the peer's."""
    given = headers.get(_ADDRESS)
    return given.decode("latin-1") if given is not None else (scope.get("client") or ("unknown",))[0]


def distrust(proxies: Sequence[IPv4Network | IPv6Network]) -> Callable[[Scope], None]:
    """What takes `ADDRESS_HEADER` out of a scope whose peer is neither this machine nor in `proxies`.

    Replicas listen where the HTTP API does, on ports of their own, so that the HAProxy of another node reaches them;
    so does whoever else reaches that address.
    """

    @lru_cache(1024)
    def believed(peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return address.is_loopback or any(address in network for network in proxies)

    def check(scope: Scope) -> None:
        client = scope.get("client")
        if client is None or not believed(client[0]):
            scope["headers"] = [header for header in scope["headers"] if header[0] != _ADDRESS]

    return check
