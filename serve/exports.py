"""The files of exports: one written at a time, on disk only as long as it is sent."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from pipeline.clickhouse.client import Warehouse
from pipeline.errors import Overloaded, WarehouseAway, WarehouseError
from pipeline.history.log_files import Format
from pipeline.light_start import full
from serve.export_writer import Task, write

PATIENCE_S: Final = 60.0
"""How long an export waits for those before it; then it is refused with 503."""
WRITE_LIMIT_S: Final = 300.0
"""How long one may take."""
_RETRY_AFTER_S: Final = 10.0


class Exports:
    """Writes one file at a time. One event loop."""

    def __init__(self) -> None:
        """Write nothing yet."""
        self._turn = asyncio.Semaphore(1)

    async def file(
        self, warehouse: Warehouse, fleet: str, vehicle_id: str, start: int, end: int, form: Format
    ) -> BinaryIO:
        """The vehicle's frames in [start, end), microseconds, as an open file without a name: closed, it is gone.

        Raises:
            Overloaded: others were still being written after `PATIENCE_S`, or this one after `WRITE_LIMIT_S`.
            WarehouseError, WarehouseAway: see `Warehouse`.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise Overloaded("other exports are still being written: ask again later", _RETRY_AFTER_S) from error
        try:
            with tempfile.TemporaryDirectory(prefix="canfleet-export-") as folder:
                path = Path(folder, f"frames.{form}")
                task = Task(
                    warehouse=warehouse.settings,
                    fleet=fleet,
                    vehicle_id=vehicle_id,
                    start=start,
                    end=end,
                    form=form,
                    path=path,
                )
                if form == "parquet":
                    await asyncio.to_thread(write, task, warehouse)
                else:
                    await write_apart(task)
                return path.open("rb")
        finally:
            self._turn.release()


async def write_apart(task: Task) -> None:
    """`write` in a process of its own, which ends with whoever cancels this.

    Raises:
        Overloaded: it took longer than `WRITE_LIMIT_S`.
        WarehouseError, WarehouseAway: see `Warehouse`.
        RuntimeError: the process failed; its last words.
    """
    environment = full({**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    process = subprocess.Popen(
        [sys.executable, "-m", "serve.export_writer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        told, complaints = await asyncio.to_thread(process.communicate, task.model_dump_json().encode(), WRITE_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise Overloaded(f"the file was not written within {WRITE_LIMIT_S:.0f} s: ask for less", 60.0) from error
    finally:
        process.kill()
    if process.returncode != 0 or not told:
        raise RuntimeError(f"the export's writer ended with {process.returncode}: {complaints[-500:].decode()}")
    answer = orjson.loads(told)
    if "away" in answer:
        raise WarehouseAway(answer["away"])
    if "refused" in answer:
        raise WarehouseError(answer["refused"])
