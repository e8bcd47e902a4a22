"""What history costs: `PYTHONPATH=.:tests:tests/serve python tests/history/measure_history.py`, on an idle machine.

Stores a year of minutes of four signals of ten vehicles, and a day of their values at 5 Hz, then asks over HTTP, one
request at a time on a kept connection: one signal over an hour, a day, a month, a year, with the cache off; trips of a
day; a signal over the fleet; and an answer from the cache. Prints milliseconds: median, p99 and the most of each.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import pyarrow as pa
from clickhouse_process import HostProcess
from serve_sockets import served
from serve_stand_in import StandIn, bearer

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import MINUTES, SIGNALS, Writer
from pipeline.config import CanfleetConfig
from pipeline.frames.schema import TIMESTAMP
from serve.query import build_query_app

VEHICLES: Final = [f"vehicle-{i}" for i in range(10)]
SIGNAL_NAMES: Final = ["VehicleSpeed", "EngineSpeed", "CoolantTemperature", "FuelLevel"]
DAY_S: Final = 86_400
END_S: Final = int(time.time()) // DAY_S * DAY_S
HZ: Final = 5
ONE: Final = "/v1/vehicles/{}/signals/{}"
FLEET: Final = "/v1/fleet/signals/VehicleSpeed"


def names(word: str, n: int) -> pa.DictionaryArray:
    """One word n times."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([word]))


def store_year(writer: Writer, vehicle: str, signal: str, days: int) -> None:
    """Minutes of a signal, by the month."""
    rng = np.random.default_rng(0)
    for begin in range(END_S - days * DAY_S, END_S, 30 * DAY_S):
        minute = np.arange(begin, min(END_S, begin + 30 * DAY_S), 60)
        n = len(minute)
        mean = rng.normal(50, 10, n)
        last = [struct.pack("<dq", value, (t + 59) * 1_000_000) for value, t in zip(mean, minute.tolist(), strict=True)]
        columns = {
            "fleet": names("acme", n),
            "vehicle_id": names(vehicle, n),
            "signal": names(signal, n),
            "message": names("Message", n),
            "timestamp": pa.array(minute.astype(np.uint32)),
            "count": pa.array(np.full(n, 300, np.uint64)),
            "min": pa.array(mean - 5),
            "max": pa.array(mean + 5),
            "sum": pa.array(mean * 300),
            "last": pa.array(last, pa.binary(16)),
        }
        batch = pa.RecordBatch.from_arrays([columns[name] for name in MINUTES.names], schema=MINUTES)
        writer.insert_minutes(batch, f"{vehicle}/{signal}/{begin}")


def store_day(writer: Writer, vehicle: str, signal: str) -> None:
    """Values of the last day, driving for half an hour in each of eight hours."""
    t = END_S - DAY_S + np.arange(DAY_S * HZ) / HZ
    drives = (t % 10_800) < 1_800
    value = np.where(drives, 50 + 30 * np.sin(t / 40), 0.0)
    n = len(t)
    batch = pa.RecordBatch.from_arrays(
        [
            names("acme", n),
            names(vehicle, n),
            pa.array((t * 1e6).astype(np.int64)).cast(TIMESTAMP),
            names("Message", n),
            names(signal, n),
            pa.array(value),
        ],
        schema=SIGNALS,
    )
    writer.insert_signals(batch, f"{vehicle}/{signal}/day")


def measured(what: str, ask: Callable[[int], httpx.Response], times: int) -> None:
    """Ask so often, after a fifth as often to warm up, and print how long it took."""
    took = []
    for i in range(-times // 5, times):
        began = time.perf_counter()
        answer = ask(i)
        if i >= 0:
            took.append((time.perf_counter() - began) * 1e3)
        assert answer.status_code == 200, answer.text
    median, late = np.quantile(took, [0.5, 0.99])
    print(f"{what:<34} {median:8.1f} {late:8.1f} {max(took):8.1f}   {len(answer.content):>8,} bytes")


def main() -> None:
    """Load, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--times", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        host = HostProcess(Path(folder, "clickhouse"))
        try:
            warehouse = Warehouse.connect(
                WarehouseSettings(url=host.url, database="measured", storage_policy="hot_cold")
            )
            migrate(warehouse)
            writer = Writer(warehouse)
            began = time.monotonic()
            for vehicle in VEHICLES:
                for signal in SIGNAL_NAMES:
                    store_year(writer, vehicle, signal, arguments.days)
                    store_day(writer, vehicle, signal)
            print(f"loaded in {time.monotonic() - began:.0f} s")
            ask_all(warehouse, Path(folder), arguments.times)
            warehouse.close()
        finally:
            host.terminate()


def ask_all(warehouse: Warehouse, folder: Path, times: int) -> None:
    """All the questions, first without a cache, then with one."""
    signals = [
        {"message": "Message", "signal": name, "unit": "km/h", "value": 0.0, "timestamp": 0} for name in SIGNAL_NAMES
    ]
    state = {("acme", v): {"vehicle_id": v, "last_seen": END_S * 1_000_000, "signals": signals} for v in VEHICLES}
    print(f"{'':<34} {'median':>8} {'p99':>8} {'most':>8}   ms")
    for cache_bytes in (0, 64 << 20):
        config = CanfleetConfig.model_validate({"history": {"cache_bytes": cache_bytes}})
        platform = StandIn(folder, config, state=state, warehouse=warehouse)
        key = bearer(platform.key("acme", "query"))
        with served(build_query_app(platform)) as url, httpx.Client(base_url=url, headers=key, timeout=60) as http:
            if cache_bytes:
                measured("one signal, a year, from the cache", partial(ask, http, ONE, 365), times)
            else:
                ask_without_cache(http, times)
        platform.store.close()


def ask_without_cache(http: httpx.Client, times: int) -> None:
    """What the engine has to answer."""
    for what, days in (("an hour", 1 / 24), ("a day", 1), ("a month", 30), ("a year", 365)):
        measured(f"one signal, {what}", partial(ask, http, ONE, days), times)
    for what, days in (("a day", 1), ("a year", 365)):
        several = partial(ask, http, "/v1/vehicles/{}/signals", days, signal=SIGNAL_NAMES)
        measured(f"four signals, {what}", several, times // 5)
    measured("trips of a day", partial(ask, http, "/v1/vehicles/{}/trips", 1), times // 5)
    for what, days in (("a day", 1), ("a year", 365)):
        measured(f"a signal over the fleet, {what}", partial(ask, http, FLEET, days), times // 5)


def ask(http: httpx.Client, path: str, days: float, i: int, **more: object) -> httpx.Response:
    """The i-th request: another vehicle and signal each time."""
    span = {"from": int((END_S - days * DAY_S) * 1e6), "to": END_S * 1_000_000}
    return http.get(path.format(VEHICLES[i % len(VEHICLES)], SIGNAL_NAMES[i % 4]), params=span | more)


if __name__ == "__main__":
    main()
