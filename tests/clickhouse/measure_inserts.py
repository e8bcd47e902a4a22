"""What inserts cost: `PYTHONPATH=. python tests/clickhouse/measure_inserts.py`, on an otherwise idle machine.

Prints, for signals with both rollups and for frames: rows/s of the fastest insert, and CPU seconds of this process and
the host per million rows, of the cheapest insert and of all of them, background merges included.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from clickhouse_process import HostProcess
from clickhouse_rows import START, canonical_frames, frame_rows, names, times

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import SIGNALS, Writer

ROUNDS = 6


def traffic(rows: int, vehicles: int, seed: int) -> pa.RecordBatch:
    """As shards send it: frames of 6 signals in time order, 5 messages a vehicle, 30 signals, 300,000 rows/s."""
    rng = np.random.default_rng(seed)
    frames = rows // 6
    vehicle, message = rng.integers(0, vehicles, frames), rng.integers(0, 5, frames)
    time_us = START + seed * rows * 10 // 3 + np.sort(rng.integers(0, rows * 10 // 3, frames))
    signal = np.repeat(message * 6, 6) + np.tile(np.arange(6), frames)
    return pa.RecordBatch.from_arrays(
        [
            names(np.zeros(len(signal)), ["acme"]),
            names(np.repeat(vehicle, 6), [f"vehicle-{i:05d}" for i in range(vehicles)]),
            times(np.repeat(time_us, 6)),
            names(np.repeat(message, 6), [f"Message{i}" for i in range(5)]),
            names(signal, [f"Signal{i:02d}" for i in range(30)]),
            pa.array(rng.normal(size=len(signal)).round(2)),
        ],
        schema=SIGNALS,
    )


def measure(what: str, insert: Callable[[pa.RecordBatch, str], None], batches: list[pa.RecordBatch], pid: int) -> None:
    host = psutil.Process(pid)

    def cpu() -> float:
        mine = resource.getrusage(resource.RUSAGE_SELF)
        return mine.ru_utime + mine.ru_stime + sum(host.cpu_times()[:2])

    insert(batches[0], f"{what} warm")
    began, walls, costs = cpu(), [], []
    for i, batch in enumerate(batches):
        start, before = time.perf_counter(), cpu()
        insert(batch, f"{what} {i}")
        walls.append(batch.num_rows / (time.perf_counter() - start))
        costs.append((cpu() - before) / batch.num_rows * 1e6)
    total = (cpu() - began) / sum(batch.num_rows for batch in batches) * 1e6
    print(
        f"{what:45} {max(walls) / 1e6:5.2f} M rows/s   CPU-s/M rows: least {min(costs):.2f}, all {total:.2f}",
        flush=True,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = HostProcess(Path(folder))
        try:
            for vehicles in (200, 1_000, 10_000):
                for rows in (50_000, 200_000, 500_000):
                    warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database=f"s_{vehicles}_{rows}"))
                    migrate(warehouse)
                    batches = [traffic(rows, vehicles, seed) for seed in range(ROUNDS)]
                    what = f"signals, {rows} rows of {vehicles} vehicles"
                    measure(what, Writer(warehouse).insert_signals, batches, host.process.pid)
                    warehouse.close()
            for rows in (50_000, 200_000):
                warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database=f"f_{rows}"))
                migrate(warehouse)
                batches = [frame_rows(canonical_frames(rows, seed, counted=True, vehicles=1_000)) for seed in range(3)]
                measure(f"frames, {rows} rows", Writer(warehouse).insert_frames, batches, host.process.pid)
                warehouse.close()
        finally:
            host.terminate()


if __name__ == "__main__":
    main()
