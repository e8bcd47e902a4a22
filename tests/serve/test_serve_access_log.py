"""The access log: a line for each request, whatever became of it, and nothing in it that is nobody's business."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_stand_in import BOOTSTRAP, StandIn, bearer

import serve.access_log
from pipeline.config import AccessLogSettings
from serve.access_log import AccessLog, network_of
from serve.gateway import Door, FramesEndpoint
from serve.logs import LogsEndpoint
from serve.query import build_query_app
from serve.stream import StreamEndpoint

VIN = "WVWZZZ1JZXW000001"
LATITUDE = "48.137154"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(serve.access_log, "GATHER_S", 0.01)


def logged(folder: Path, log: AccessLog, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
    """The answers to `requests`, each by the application that its path belongs to."""
    stand_in = StandIn(folder)
    stand_in.state["default", VIN] = {"vehicle_id": VIN, "last_seen": 1, "signals": []}
    apps = {"/v1/frames": FramesEndpoint(Door(stand_in)), "/v1/logs": LogsEndpoint(stand_in)}
    query = build_query_app(stand_in)

    async def ask() -> list[httpx.Response]:
        answers = []
        for method, path, options in requests:
            app = log.around(apps.get(path.partition("?")[0], query))
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app, client=("198.51.100.77", 1)), base_url="http://test"
            ) as http:
                answers.append(await http.request(method, path, **options))
        await asyncio.sleep(0.3)
        return answers

    return asyncio.run(ask())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_asked_for_what_and_how_it_went(tmp_path):
    log = AccessLog(AccessLogSettings(path=Path("log/access.jsonl")), tmp_path)
    frame = {"vehicle_id": VIN, "timestamp": time.time_ns() // 1000, "arbitration_id": 256, "data": "00ff"}
    body = json.dumps([frame]).encode()
    headers = bearer(BOOTSTRAP) | {"Content-Type": "application/json", "X-Request-Id": "drive-1"}
    traced = headers | {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    [answer, *_] = logged(
        tmp_path,
        log,
        (
            "POST",
            "/v1/frames",
            {"content": body, "headers": traced},
        ),
        ("GET", f"/v1/vehicles/{VIN}/latest", {"headers": bearer(BOOTSTRAP)}),
        ("GET", f"/v1/vehicles/{VIN}/nothing/here", {}),
        ("POST", "/v1/frames", {"content": body, "headers": bearer("a guess")}),
        ("BREW", f"/{VIN}", {}),
    )
    assert answer.status_code == 202
    first, *others = lines(tmp_path / "log" / "access.jsonl")
    assert 0 < first.pop("duration_ms") < 60_000
    assert first.pop("time").endswith("Z")
    assert first.pop("key")
    assert first == {
        "method": "POST",
        "path": "/v1/frames",
        "status": 202,
        "bytes_in": len(body),
        "bytes_out": len(answer.content),
        "request_id": "drive-1",
        "fleet": "default",
        "client": "198.51.100.0/24",
        "trace_id": TRACE,
    }
    assert [(one["method"], one["path"], one["status"], one["fleet"]) for one in others] == [
        ("GET", "/v1/vehicles/{vehicle_id}/latest", 200, "default"),
        ("GET", None, 404, None),
        ("POST", "/v1/frames", 401, None),
        ("OTHER", None, 404, None),
    ]


def test_no_key_no_vehicle_and_no_position_is_in_it(tmp_path):
    log = AccessLog(AccessLogSettings(path=Path("access.jsonl")), tmp_path)
    frame = {"vehicle_id": VIN, "timestamp": 1, "arbitration_id": 256, "data": "00ff", "latitude": LATITUDE}
    secret = "another-key-that-nobody-knows"
    keys = [bearer(BOOTSTRAP), {"X-API-Key": BOOTSTRAP}, bearer(secret), {"X-API-Key": secret}]
    asked = []
    for key in keys:
        asked += [
            ("POST", "/v1/frames", {"json": [frame], "headers": key | {"Content-Type": "application/json"}}),
            (
                "POST",
                f"/v1/logs?vehicle_id={VIN}&filename={VIN}.log",
                {"content": b"(1.0) can0 1A3#00\n", "headers": key},
            ),
            ("GET", f"/v1/vehicles/{VIN}/latest?key={secret}", {"headers": key}),
            ("GET", f"/v1/vehicles/{VIN}/signals/Latitude?from={LATITUDE}", {"headers": key}),
            ("GET", f"/v1/anomalies?vehicle_id={VIN}&kind={secret}", {"headers": key}),
            ("GET", f"/{secret}/{VIN}", {"headers": key}),
        ]
    logged(tmp_path, log, *asked)
    text = (tmp_path / "access.jsonl").read_text()
    assert len(text.splitlines()) == len(asked)
    for hidden in (VIN, LATITUDE, "Latitude", secret, BOOTSTRAP, "198.51.100.77"):
        assert hidden not in text


def test_a_websocket_is_one_line(tmp_path):
    log = AccessLog(AccessLogSettings(path=Path("access.jsonl")), tmp_path)
    messages = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "1\n"}]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return messages.pop(0) if messages else {"type": "websocket.disconnect", "code": 1000}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def connect() -> None:
        scope = {
            "type": "websocket",
            "path": "/v1/stream",
            "headers": [(b"authorization", f"Bearer {BOOTSTRAP}".encode())],
            "query_string": b"",
            "client": ("2001:db8:1:2::3", 1),
        }
        await log.around(StreamEndpoint(Door(StandIn(tmp_path))))(scope, receive, send)
        await asyncio.sleep(0.2)

    asyncio.run(connect())
    [line] = lines(tmp_path / "access.jsonl")
    assert (line["status"], line["path"], line["fleet"], line["client"]) == (
        101,
        "/v1/stream",
        "default",
        "2001:db8:1::/48",
    )
    assert line["bytes_in"] == 2
    assert line["bytes_out"] == sum(len(one.get("text", "")) for one in sent) > 0


def test_a_full_file_is_turned_over_once_by_whoever_finds_it_full(tmp_path):
    settings = AccessLogSettings(path=Path("access.jsonl"), max_bytes=1 << 16)
    logs = [AccessLog(settings, tmp_path) for _ in range(3)]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def nothing(message: Any = None) -> Any:
        return {"type": "http.request"}

    async def ask() -> None:
        apps = [log.around(answer) for log in logs]
        scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": ("192.0.2.1", 1)}
        for _ in range(40):
            for app in apps:
                for _ in range(10):
                    await app(scope, nothing, nothing)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)

    asyncio.run(ask())
    old, new = tmp_path / "access.jsonl.1", tmp_path / "access.jsonl"
    assert settings.max_bytes <= old.stat().st_size < settings.max_bytes + 60 * 250 * 3
    n = len(lines(old)) + (len(lines(new)) if new.exists() else 0)
    # Turned over once or more: what the second one displaced is gone, whole files at a time, and each line is whole.
    assert 200 < n <= 1200


def test_a_share_of_requests_is_logged_and_a_full_disk_costs_no_request(tmp_path, caplog):
    some = AccessLog(AccessLogSettings(path=Path("some.jsonl"), sample=0.3), tmp_path)
    answers = logged(tmp_path, some, *[("GET", "/healthz", {})] * 300)
    assert {answer.status_code for answer in answers} == {200}
    assert 40 < len(lines(tmp_path / "some.jsonl")) < 150
    full = AccessLog(AccessLogSettings(path=Path("/dev/full")), tmp_path)
    assert [one.status_code for one in logged(tmp_path, full, ("GET", "/healthz", {}))] == [200]
    assert "1 lines of the access log are lost" in caplog.text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.77", "198.51.100.0/24"),
        ("::ffff:198.51.100.77", "198.51.100.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("unknown", None),
    ],
)
def test_addresses_are_cut_to_networks(address, network):
    assert network_of(address) == network
