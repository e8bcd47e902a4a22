"""The stand-in with a real shard behind it, which finds duplicates and stores into the real engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from serve_stand_in import StandIn, StandInLayout

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.dead_letters import DeadLetters
from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.lanes.lane import Lane
from pipeline.shard.shard import Shard


@dataclass
class ShardPlatform(StandIn):
    """Set `warehouse` to a migrated one; `config.data_dir` is the folder."""

    shard: Any = field(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        assert isinstance(self.warehouse, Warehouse)
        self.config = CanfleetConfig.model_validate(self.config.model_dump() | {"data_dir": self.folder})
        self.layout = StandInLayout(8, np.zeros(8, np.int32), 1)
        self.shard = Shard(0, self.config, load_catalogue(self.config.profiles()), self.warehouse)

    async def submit(self, shard: int, submission: bytes, lane: Lane) -> Any:
        if shard in self.fail_submit:
            raise self.fail_submit[shard]
        [receipt] = self.shard.commit([submission])
        return receipt

    async def dead_letters(self, fleet: str) -> tuple[int | None, int]:
        unstored = self.shard.unstored_dead_letters(fleet)
        return DeadLetters(self.warehouse).held(fleet), unstored

    async def forget(self, fleet: str, vehicle_id: str, patience_s: float) -> dict[str, int]:
        forgetting = self.shard.forget(fleet, vehicle_id)
        self.settle()
        removed: dict[str, int] = forgetting.done.result(0)
        return removed

    async def latest_of_shard(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        latest: dict[str, Any] | None = self.shard.latest(fleet, vehicle_id)
        return latest

    def settle(self) -> None:
        """Process and store all that waits."""
        while self.shard.process_next(wait=False):
            pass
        while self.shard.store_next():
            pass

    def stored(self, fleet: str) -> list[dict[str, Any]]:
        """Frames of a fleet in ClickHouse: sequence, data in hexadecimal."""
        sql = "SELECT sequence, hex(data) AS data FROM frames WHERE fleet = {fleet:String} ORDER BY sequence, data"
        rows: list[dict[str, Any]] = self.warehouse.rows(sql, {"fleet": fleet})
        return rows
