"""The HTTP face on a real socket, before a real shard held as its actor holds it, on the real engine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from actors.held_shard import HeldShard
from pipeline.clickhouse.client import Warehouse
from pipeline.config import CanfleetConfig
from pipeline.decode.databases import load_catalogue
from pipeline.frames.body import warm
from pipeline.lanes.lane import Lane
from serve.gateway import Door, FramesEndpoint
from simulator import FLEET_DBC
from tests.serve.serve_sockets import served
from tests.serve.serve_stand_in import BOOTSTRAP, StandIn, StandInLayout, bearer

VEHICLE = "WVWZZZ1JZXW000001"


class HeldPlatform(StandIn):
    """The stand-in's keys and limits; submissions go to the shard `held`."""

    def __init__(self, folder: Path, warehouse: Warehouse, config: CanfleetConfig) -> None:
        super().__init__(folder, config, warehouse=warehouse)
        self.layout = StandInLayout(8, np.zeros(8, np.int32), 1)
        self._answers = ThreadPoolExecutor(1)
        self.held = HeldShard(0, config, load_catalogue(config.profiles()), warehouse, self._answers)

    async def submit(self, shard: int, submission: bytes, lane: Lane) -> Any:
        return await self.held.submit(submission, lane)

    def close(self) -> None:
        assert asyncio.run(self.held.drain(30))
        self._answers.shutdown()
        self.store.close()


def config_in(folder: Path, **tracing: Any) -> CanfleetConfig:
    quick = {"flush_interval_s": 0.02}
    return CanfleetConfig.model_validate({"data_dir": folder, "dbc": [FLEET_DBC], "tracing": tracing, "shard": quick})


@contextmanager
def traced(folder: Path, warehouse: Warehouse, **tracing: Any) -> Iterator[str]:
    """Serve `/v1/frames`; yields its URL."""
    warm()
    platform = HeldPlatform(folder, warehouse, config_in(folder, **tracing))
    try:
        with served(FramesEndpoint(Door(platform))) as url:
            yield url
    finally:
        platform.close()


def send(url: str, sequence: int = 0, **headers: str) -> httpx.Response:
    row = {
        "vehicle_id": VEHICLE,
        "timestamp": time.time_ns() // 1000,
        "arbitration_id": 256,
        "data": "00" * 8,
        "session": 1,
        "sequence": sequence,
    }
    return httpx.post(
        f"{url}/v1/frames",
        content=json.dumps([row]),
        headers=bearer(BOOTSTRAP) | {"Content-Type": "application/json"} | headers,
        timeout=60,
    )
