"""Vehicles on one host's side of a cut: each sends to that host alone, a frame at a time, and notes what it is told."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import pyarrow as pa

from canfleet.benchmark.verify import wait_until
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.frames.schema import TIMESTAMP
from simulator.body import arrow_stream
from simulator.sender import ARROW_STREAM
from tests.cluster.hosts import Host
from tests.cluster.launching import url_of

FLEET: Final = "inside"
_VEHICLES: Final = 24
_EVERY_S: Final = 0.5
_TIMEOUT: Final = aiohttp.ClientTimeout(total=3)
_STORED_S: Final = 60.0
_STORED: Final = "SELECT vehicle_id, sequence, count() AS n FROM frames WHERE fleet = {fleet:String} GROUP BY ALL"


class Inside:
    """The vehicles, as a process in the host's network for as long as `with` lasts."""

    def __init__(self, host: Host, key: str, told: Path) -> None:
        """They send to `host` with a key of FLEET; `told` is the file of acknowledgements."""
        self._host = host
        self._key = key
        self._told = told

    def __enter__(self) -> Inside:
        """Begin to send."""
        command = [sys.executable, "-m", "tests.cluster.inside", url_of(self._host), self._key]
        with self._told.open("w") as told:
            self._process = subprocess.Popen(["ip", "netns", "exec", self._host.name, *command], stdout=told)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def acknowledged(self, after: float, before: float) -> list[float]:
        """Moments of acknowledgements between two of `time.monotonic`, of requests sent behind the first."""
        return [one["at"] for one in self._acknowledgements() if one["began"] >= after and one["at"] <= before]

    def verdict(self, clickhouse: str, faults: list[str]) -> dict[str, int]:
        """Hold ClickHouse against the acknowledgements, once all is stored."""
        known = {(one["vehicle"], one["sequence"]) for one in self._acknowledgements()}
        warehouse = Warehouse.connect(WarehouseSettings(url=clickhouse))
        stored: dict[tuple[str, int], int] = {}

        def complete() -> bool:
            rows = warehouse.rows(_STORED, {"fleet": FLEET})
            stored.update({(row["vehicle_id"], int(row["sequence"])): int(row["n"]) for row in rows})
            return known <= stored.keys()

        wait_until(complete, _STORED_S)
        warehouse.close()
        counts = {
            "acknowledged": len(known),
            "lost": len(known - stored.keys()),
            "doubled": sum(n - 1 for n in stored.values()),
        }
        faults += [f"inside: {counts[what]} frames {what}" for what in ("lost", "doubled") if counts[what]]
        if not known:
            faults.append("inside: nothing was acknowledged")
        return counts

    def _acknowledgements(self) -> list[dict[str, Any]]:
        lines = self._told.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


async def _drive(http: aiohttp.ClientSession, url: str, number: int) -> None:
    """One vehicle: the next frame once the last one is acknowledged."""
    sequence = 0
    while True:
        body = _frame(f"veh-inside-{number}", sequence)
        began = time.monotonic()
        try:
            async with http.post(f"{url}/v1/frames", data=body) as answer:
                await answer.read()
                acknowledged = answer.status == 202
        except (aiohttp.ClientError, TimeoutError, OSError):
            acknowledged = False
        if acknowledged:
            told = {"vehicle": f"veh-inside-{number}", "sequence": sequence, "began": began, "at": time.monotonic()}
            print(json.dumps(told), flush=True)
            sequence += 1
        await asyncio.sleep(_EVERY_S)


def _frame(vehicle: str, sequence: int) -> bytes:
    """One counted frame; its id is in no database."""
    columns = {
        "vehicle_id": pa.array([vehicle]),
        "timestamp": pa.array([time.time_ns() // 1000], pa.int64()).cast(TIMESTAMP),
        "arbitration_id": pa.array([0x7E8], pa.uint32()),
        "data": pa.array([sequence.to_bytes(8)]),
        "session": pa.array([1], pa.uint32()),
        "sequence": pa.array([sequence], pa.uint64()),
    }
    return arrow_stream(pa.RecordBatch.from_pydict(columns))


async def _main(url: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": ARROW_STREAM}
    async with (
        aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as http,
        asyncio.TaskGroup() as vehicles,
    ):
        for number in range(_VEHICLES):
            vehicles.create_task(_drive(http, url, number))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("key")
    given = parser.parse_args()
    asyncio.run(_main(given.url, given.key))
