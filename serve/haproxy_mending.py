"""What is changed in the configuration that Serve renders for its HAProxy, as a script for sed.

Everything here was found wanting in ray 2.60's `haproxy_templates.py`; `tests/serve/test_serve_platform.py` and
`tests/haproxy/` try the outcome on real sockets. The reasons stand in docs/decisions/load-balancing.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from serve.problems import MEDIA_TYPE, Problem, away, bad_request, length_required, too_large, too_slow
from serve.request_id import ADDRESS_HEADER, SANE_REQUEST_ID

HEAD_S: Final = 10
"""How long the head of a request may take."""
FIRST_BYTES_S: Final = 20
"""How long the first 15 KB of a body may take, or all of it where it is smaller; `serve/steady.py` sees to the rest."""
CHECK_S: Final = 5
"""How long a replica may take to answer a check: one that is busy for seconds is not dead."""
MAX_QUERY_BODY: Final = 8 << 20
"""Bytes of a body for anything but frames and logs: a mended dead letter of a mebibyte, escaped, is the largest."""

_UNAVAILABLE: Final = away("The HTTP API")
_PAGES: Final[Mapping[int, Problem]] = {
    400: bad_request("The request is no HTTP, or broke off."),
    408: too_slow(f"The first 15 KB of a body must come within {FIRST_BYTES_S} s."),
    502: _UNAVAILABLE,
    503: _UNAVAILABLE,
    504: _UNAVAILABLE,
}
"""What HAProxy answers by itself, by the status it has in mind. A head that is none gets a bare 400 or 408."""
_TOO_LARGE: Final = too_large(f"A body may have {MAX_QUERY_BODY:,} bytes here.")
_NO_LENGTH: Final = length_required("A body must come with Content-Length here.")

_DEFAULTS: Final = f"""\
    timeout http-request {HEAD_S}s
    timeout check {CHECK_S}s
    timeout tunnel 1h"""
_HTTP: Final = f"""\
    http-request del-header x-request-id unless {{ req.hdr(x-request-id) -m reg ^{SANE_REQUEST_ID}$ }}
    # Serve reads a body without end into memory, however slowly the application takes it, to see the client leave.
    # Told not to, it hands the application the connection itself, which is read as fast as its bytes are taken.
    http-request set-header x-request-disconnect-disabled ?1
    http-request del-header x-request-timeout-seconds
    http-request del-header serve_multiplexed_model_id
    # Serve knows an application by one prefix, and WebSockets belong to the gateway.
    http-request set-path /v1/frames/stream if {{ path /v1/stream }} {{ req.hdr(upgrade) -i websocket }}
    acl canfleet_intake path /v1/frames /v1/logs
    acl canfleet_intake path_beg /v1/frames/ /v1/logs/"""
_LAST: Final = f"""\
    http-request wait-for-body time {FIRST_BYTES_S}s
    http-after-response del-header server"""


def script(folder: Path, private_ports: Sequence[int], proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """The script. Writes the pages that it refers to into `folder`.

    Args:
        folder: where HAProxy's files lie; its path has no character that sed or HAProxy reads as its own.
        private_ports: of statistics and metrics, which are for loopback alone.
        proxies: whose word on a client's address is believed.
    """
    errors = []
    for status, problem in _PAGES.items():
        (folder / f"{status}.http").write_bytes(_page(problem))
        errors.append(f"    errorfile {status} {folder / f'{status}.http'}")
    (folder / "away.json").write_bytes(_UNAVAILABLE.body("about:blank"))
    no_application = f"503 content-type {MEDIA_TYPE} file {folder / 'away.json'} hdr Retry-After 1"
    refusals = [
        _refusal(folder, _NO_LENGTH, "!canfleet_intake { req.hdr(transfer-encoding) -m found }"),
        _refusal(folder, _TOO_LARGE, f"!canfleet_intake {{ req.hdr_val(content-length) gt {MAX_QUERY_BODY} }}"),
    ]
    return "\n".join(
        [
            *(rf"s|^\( *bind\) \*\{{0,1\}}:{port}$|\1 127.0.0.1:{port}|" for port in private_ports),
            r"/^ *errorfile /d",
            rf"s|^\( *http-request return status\) 404 content-type text/plain lf-string .*$|\1 {no_application}|",
            # The kernel's own bound on descriptors is the bound on connections where it is lower.
            _append("global", "    no strict-limits"),
            _append("defaults", _DEFAULTS, *errors),
            _append("frontend http_frontend", _HTTP, *_address(proxies), *refusals, _LAST),
            "",
        ]
    )


def _address(proxies: Sequence[IPv4Network | IPv6Network]) -> list[str]:
    """The client's address for the replicas: the peer's, or what a proxy that is believed says of its own peer."""
    known = " ".join(str(network) for network in proxies)
    believed = [f"    http-request set-src req.hdr_ip(x-forwarded-for,-1) if {{ src {known} }}"] if proxies else []
    return [*believed, f"    http-request set-header {ADDRESS_HEADER} %[src]"]


def _refusal(folder: Path, problem: Problem, condition: str) -> str:
    file = folder / f"{problem.kind}.json"
    file.write_bytes(problem.body("about:blank"))
    return f"    http-request return status {problem.status} content-type {MEDIA_TYPE} file {file} if {condition}"


def _append(section: str, *lines: str) -> str:
    """The command that puts `lines` behind the first line of `section`."""
    text = "\n".join(lines).replace("\\", "\\\\").replace("\n", "\\\n")
    return f"/^{section}$/a\\\n{text}"


def _page(problem: Problem) -> bytes:
    """An answer as HAProxy sends it: status line, headers, body."""
    body = problem.body("about:blank")
    headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    lines = [f"{name}: {value}" for name, value in (headers | dict(problem.headers)).items()]
    status = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"
    return "\r\n".join([status, *lines, "", ""]).encode() + body
