"""The HTTP API as one ASGI application on the tests' stand-in: gateway, logs and queries, as the proxy joins them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pyarrow as pa
from starlette.types import Receive, Scope, Send

import serve.coalesce
import serve.forget_routes
import serve.key_routes
import serve.log_process
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.config import CanfleetConfig
from pipeline.errors import BodyError, UnknownContentType, WarehouseAway, WarehouseError
from pipeline.shard.ledger import Tally
from serve.log_reader import convert
from tests.serve.serve_joined import Joined
from tests.serve.serve_stand_in import StandIn

REFUSED: Final = "clickhouse refuses"
AWAY: Final = "clickhouse is away"
"""Texts that, bound to a statement, make the warehouse do so."""
LETTER: Final = "1785000000000000-9f3c21ab55e01d77"
NOON: Final = 1_769_860_800_000_000


class EmptyWarehouse:
    """A ClickHouse that takes every statement but those that it is told to fail. It holds one dead letter alone."""

    settings = WarehouseSettings(url="http://127.0.0.1:1")

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> pa.Table:
        """The dead letter, or no values."""
        _fail(parameters)
        if "payload" not in sql:
            return pa.table({"signal": [], "message": [], "timestamp": [], "value": []})
        letter = {"id": LETTER, "received_at": NOON, "stage": "parse", "reason": "not_json", "payload": "{"}
        return pa.Table.from_pylist([letter | {"request_id": "r"}])

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> list[dict[str, Any]]:
        """A count of one, the sums of nothing, or nothing."""
        _fail(parameters)
        if "AS vehicles," in sql:
            return [{"vehicles": 0, "count": 0, "min": 0.0, "max": 0.0, "mean": float("nan")}]
        if "count() AS frames" in sql:
            return [{"frames": 0}]
        return [{"n": 1}] if sql.lstrip().startswith("SELECT count() AS n") else []

    def insert(self, table: str, columns: list[str], stream: memoryview, **settings: Any) -> None:
        """Take it."""

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Do it."""


def _fail(parameters: Mapping[str, Any] | None) -> None:
    values = " ".join(str(text) for text in _texts(parameters or {}))
    values.encode()  # What cannot be sent to ClickHouse is a fault of ours, also where nobody is there to send it to.
    if REFUSED in values:
        raise WarehouseError("Code: 241. DB::Exception: Memory limit exceeded")
    if AWAY in values:
        raise WarehouseAway("connection refused")


class _Platform(StandIn):
    """The stand-in with answers that are as whole as the platform's."""

    async def vehicles(self, fleet: str) -> list[dict[str, Any]]:
        return [vehicle | {"last_received": vehicle["last_seen"]} for vehicle in await super().vehicles(fleet)]

    async def positions(self, fleet: str) -> dict[str, Any]:
        vehicles = await self.vehicles(fleet)
        times = {name: [one[name] for one in vehicles] for name in ("vehicle_id", "last_seen", "last_received")}
        nowhere = {name: [None] * len(vehicles) for name in ("latitude", "longitude", "speed")}
        return times | {"positioned_at": [0] * len(vehicles)} | nowhere

    async def summary(self, fleet: str) -> dict[str, Any]:
        counts = {"vehicles_online": 0, "anomalies": {"stuck": 1}, "anomalies_open": 0, "frames_missing": 0}
        return await super().summary(fleet) | counts | {"ledger": Tally().as_dict()}


def _texts(parameters: Mapping[str, Any]) -> list[Any]:
    return [one for value in parameters.values() for one in (value if isinstance(value, list) else [value])]


class FrontDoor:
    """The three applications behind one address. Keys by scope are in `keys`; the first failure's cause in `fault`."""

    def __init__(self, folder: Path, config: CanfleetConfig | None = None) -> None:
        """Open on a fresh stand-in in `folder`."""
        self.platform = _Platform(folder, config or CanfleetConfig(), warehouse=EmptyWarehouse())
        signal = {"message": "M", "signal": "Speed", "value": 1.5, "unit": "km/h", "timestamp": NOON, "window": {}}
        self.platform.state["default", "v1"] = {"vehicle_id": "v1", "last_seen": NOON, "signals": [signal]}
        self.platform.ledger_hours = [NOON // 3_600_000_000]
        self.keys = {
            "ingest": self.platform.key("default", "ingest"),
            "bound": self.platform.key("default", "ingest", vehicles=["truck-*"]),
            "query": self.platform.key("north", "query"),
            "admin": self.platform.key("north", "admin"),
        }
        self._joined = Joined(self.platform)
        self.document = self._joined.document
        self.fault: BaseException | None = None
        self._patches: list[Any] = [
            # What waits for other replicas or requests would only slow the search down.
            mock.patch.object(serve.coalesce, "GATHER_S", 0.0),
            mock.patch.object(serve.key_routes, "WAIT_S", 0.0),
            mock.patch.object(serve.forget_routes, "REWRITING_S", 0.0),
            # A process for each log costs a second; `log_target` tries what it runs.
            mock.patch.object(serve.log_process, "read_apart", read_here),
            mock.patch.object(logging.getLogger("canfleet.serve"), "handle", self._note),
        ]
        for patch in self._patches:
            patch.start()

    def close(self) -> None:
        """Undo what was changed in the modules of the API, and close the key store."""
        for patch in self._patches:
            patch.stop()
        self.platform.store.close()

    def forget(self) -> None:
        """Let go of what was sent, so that memory tells of the next input alone."""
        self.platform.submissions.clear()
        self.platform.lanes.clear()
        self.platform.ledger_ranges.clear()
        self.fault = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection by the application that its path belongs to."""
        await self._joined(scope, receive, send)

    def _note(self, record: logging.LogRecord) -> None:
        if record.exc_info and self.fault is None:
            self.fault = record.exc_info[1]


async def read_here(log: Path, frames: Path, vehicle_id: str, start: str) -> int:
    """As `serve.log_process.read_apart`, in this process."""
    answer = convert(log, frames, vehicle_id, datetime.fromisoformat(start) if start else None)
    if "unknown" in answer:
        raise UnknownContentType(answer["unknown"])
    if "unreadable" in answer:
        raise BodyError(answer["unreadable"])
    return int(answer["skipped"])
