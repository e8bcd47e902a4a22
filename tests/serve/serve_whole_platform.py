"""A real shard on the real engine that answers everything the API asks, as its actor does, without Ray."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clickhouse_process import HostProcess
from serve_shard_platform import ShardPlatform

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.config import CanfleetConfig
from pipeline.frames.body import NDJSON, read_body
from pipeline.lanes.lane import Lane
from pipeline.shard.account_answers import gaps_of, ledger_by_hour
from pipeline.shard.ledger import merged
from serve.intake import Intake, Origin

DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngineSpeed : 0|16@1+ (1,0) [0|8000] "rpm" ECU
 SG_ Torque : 16|16@1+ (1,0) [0|500] "Nm" ECU
"""


@dataclass
class WholePlatform(ShardPlatform):
    """Attributes as of `ShardPlatform`; nothing here is made up."""

    async def vehicles(self, fleet: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.shard.vehicle_list(fleet)
        return sorted(found, key=lambda vehicle: vehicle["vehicle_id"])

    async def positions(self, fleet: str) -> dict[str, Any]:
        found: dict[str, Any] = self.shard.positions(fleet)
        return found

    async def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.shard.latest(fleet, vehicle_id)
        return found

    async def summary(self, fleet: str) -> dict[str, Any]:
        found: dict[str, Any] = self.shard.summary(fleet)
        return found

    async def anomalies(self, fleet: str, **wanted: Any) -> list[dict[str, Any]]:
        asked = (wanted[name] for name in ("vehicle_id", "kind", "start", "end", "limit"))
        found: list[dict[str, Any]] = self.shard.anomalies(fleet, *asked)
        return found

    async def ledger(self, fleet: str, start: int = 0, end: int = 1 << 40) -> dict[str, Any]:
        return merged(fleet, [ledger_by_hour(self.shard, fleet, start, end)])

    async def gaps(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        return gaps_of(self.shard, fleet, vehicle_id)

    async def request_move(self, shard: int, actor: int) -> int | None:
        return 0 if shard == actor == 0 else None

    async def status(self) -> dict[str, Any]:
        return {"partitions": 8, "shards": [self.shard.status() | {"draining": False, "actor": 0, "breaker": "closed"}]}

    async def events(self, cursors: dict[int, int], timeout_s: float) -> tuple[dict[int, int], list[dict[str, Any]]]:
        newest, changed = self.shard.anomalies_since(cursors.get(0, 1 << 62))
        if 0 in cursors and not changed:
            await asyncio.sleep(0.01)
        return {0: newest}, changed

    def send(self, fleet: str, body: bytes, received_at: int, request_id: str) -> None:
        """Take NDJSON in as the gateway does, received at a time of the test's own."""
        parsed = read_body(body, NDJSON, None, self.config.limits, received_at)
        origin = Origin(fleet, received_at, request_id, None)
        asyncio.run(Intake(self).take(origin, Lane.LIVE, parsed.frames, parsed.rejected))


def opened(host: HostProcess, folder: Path, database: str, **changed: Any) -> WholePlatform:
    """A platform with a database of its own, and `DBC` to decode with."""
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database=database, storage_policy="hot_cold"))
    migrate(warehouse)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "engine.dbc").write_text(DBC)
    config = CanfleetConfig.model_validate({"dbc": [str(folder / "engine.dbc")]} | changed)
    return WholePlatform(folder, config, warehouse=warehouse)


def close(platform: WholePlatform) -> None:
    """Close shard, keys and connections."""
    platform.shard.close()
    platform.store.close()
    platform.warehouse.close()


def hour_before_last() -> int:
    """The begin of an hour that is over, in microseconds."""
    return (time.time_ns() // 3_600_000_000_000 - 2) * 3_600_000_000
