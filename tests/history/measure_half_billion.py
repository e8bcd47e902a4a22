"""What half a billion values cost to ask about: `python -m tests.history.measure_half_billion`, on an idle machine.

Brings up a platform, has a simulated fleet of 10,000 vehicles introduce itself, and puts in behind it: a day of ten
signals of every vehicle (500 million values and their minutes), and a month of hours of two signals. Then asks over
HTTP, one request at a time on a kept connection: one vehicle and signal over 24 h, the fleet's summary, the latest of a
vehicle and of all, a month of one signal across the fleet by hour; each question new, then each again, from the cache;
then new ones while 50,000 frames a second come in. Prints milliseconds as JSON: median, p99 and the most of each. Takes
a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import yaml

from canfleet.child import ChildPlatform
from simulator import FLEET_DBC

VEHICLES: Final = 10_000
SIGNALS: Final = 10
DAY_S: Final = 86_400
HOUR_US: Final = 3_600_000_000
SLICE: Final = 200
"""Vehicles of one insert."""
NOW_S: Final = int(time.time())
BEGIN_S: Final = NOW_S // 3600 * 3600 - DAY_S - 3600

_VALUES: Final = """
    SELECT
        'default' AS fleet,
        concat('veh-', leftPad(toString({first} + intDiv(number, {each} * {signals})), 5, '0')) AS vehicle_id,
        toDateTime64({begin}, 6, 'UTC') + toIntervalMicrosecond((number % {each}) * intDiv(86400000000, {each}))
            AS timestamp,
        concat('Message', toString(intDiv(number, {each}) % {signals} % 4)) AS message,
        concat('Loaded', toString(intDiv(number, {each}) % {signals})) AS signal,
        round(50 + 30 * sin(number / 400.) + (cityHash64(number) % 100) / 20, 1) AS value
    FROM numbers({slice} * {each} * {signals})
"""
_MINUTES: Final = """
    SELECT
        fleet, vehicle_id, signal, message, toStartOfMinute(timestamp) AS timestamp,
        count() AS count, min(v.value) AS min, max(v.value) AS max, sum(v.value) AS sum,
        max(bitOr(
            bitShiftLeft(toUInt128(toUnixTimestamp64Micro(v.timestamp)), 64), toUInt128(reinterpretAsUInt64(v.value))
        )) AS last
    FROM ({values}) AS v
    GROUP BY fleet, vehicle_id, signal, message, timestamp
"""
_HOURS: Final = """
    SELECT
        'default' AS fleet,
        concat('veh-', leftPad(toString({first} + intDiv(number, 720 * 2)), 5, '0')) AS vehicle_id,
        concat('Loaded', toString(intDiv(number, 720) % 2)) AS signal,
        concat('Message', toString(intDiv(number, 720) % 2)) AS message,
        toDateTime({begin} - (1 + number % 720) * 3600, 'UTC') AS timestamp,
        3600 AS count, 10. AS min, 90. AS max, 3600. * 50 AS sum, toUInt128(0) AS last
    FROM numbers({slice} * 720 * 2)
"""


def load(http: httpx.Client, values: int) -> dict[str, int]:
    """Put the past in; rows by table."""
    each = values // VEHICLES // SIGNALS
    for first in range(0, VEHICLES, SLICE):
        bound = {"first": first, "each": each, "signals": SIGNALS, "slice": SLICE, "begin": BEGIN_S}
        of_values = _VALUES.format(**bound)
        run(http, f"INSERT INTO signals (fleet, vehicle_id, timestamp, message, signal, value) {of_values}")
        columns = "fleet, vehicle_id, signal, message, timestamp, count, min, max, sum, last"
        run(http, f"INSERT INTO signals_1m_states ({columns}) {_MINUTES.format(values=of_values)}")
        run(http, f"INSERT INTO signals_1h_states ({columns}) {_HOURS.format(**bound)}")
    tables = ("signals", "signals_1m_states", "signals_1h_states", "fleet_signals_1h_states")
    return {table: int(run(http, f"SELECT count() FROM {table}")) for table in tables}


def run(http: httpx.Client, sql: str) -> str:
    answer = http.post("/", params={"database": "canfleet"}, content=sql.encode(), timeout=600)
    assert answer.status_code == 200, answer.text
    return answer.text.strip()


Ask = Callable[[int], dict[str, Any]]


def questions() -> dict[str, tuple[str, Ask]]:
    """Path and parameters of the i-th question of each kind; each i is another one."""
    chance = random.Random(7)
    vehicles = [f"veh-{n:05d}" for n in chance.sample(range(VEHICLES), 2_000)]

    def day(i: int) -> dict[str, Any]:
        return {"from": BEGIN_S * 1_000_000, "to": (BEGIN_S + DAY_S) * 1_000_000}

    def month(i: int) -> dict[str, Any]:
        # Ranges that are over, each an hour longer than the one before.
        return {"from": BEGIN_S * 1_000_000 - (600 + i) * HOUR_US, "to": (BEGIN_S + DAY_S) * 1_000_000}

    return {
        "one vehicle, one signal, 24 h": ("/v1/vehicles/{vehicle}/signals/Loaded{one}", day),
        "fleet summary": ("/v1/fleet/summary", lambda i: {}),
        "latest of a vehicle": ("/v1/vehicles/{vehicle}/latest", lambda i: {}),
        "all 10,000 vehicles": ("/v1/vehicles", lambda i: {}),
        "positions of all 10,000": ("/v1/fleet/positions", lambda i: {}),
        "a month across the fleet, by hour": ("/v1/fleet/signals/Loaded{two}/history", month),
    } | {"": ("", lambda i: {"vehicles": vehicles})}


def measured(
    http: httpx.Client, path: str, ask: Ask, vehicles: list[str], times: int, distinct: int | None = None
) -> dict[str, float]:
    """Milliseconds of so many questions, the first tenth left out; each another one, or `distinct` ones in turn."""
    took = []
    for n in range(times):
        i = n % (distinct or times)
        full = path.format(vehicle=vehicles[i % len(vehicles)], one=i % SIGNALS, two=i % 2)
        began = time.perf_counter()
        answer = http.get(full, params=ask(i))
        took.append((time.perf_counter() - began) * 1e3)
        assert answer.status_code == 200, answer.text
    median, late = np.quantile(took[times // 10 :], [0.5, 0.99])
    return {"p50": round(median, 1), "p99": round(late, 1), "max": round(max(took[times // 10 :]), 1)}


@contextmanager
def fleet_sending(platform: ChildPlatform, seconds: float, rate: float = 5.0) -> Iterator[None]:
    """10,000 simulated vehicles send meanwhile."""
    options = {"--url": platform.url, "--key": platform.key, "--vehicles": VEHICLES, "--rate": rate}
    command = [sys.executable, "-m", "canfleet", "simulate", "--duration", str(seconds)]
    sending = subprocess.Popen(
        [*command, *(str(part) for item in options.items() for part in item)], stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        sending.terminate()
        sending.wait()


def main() -> None:
    """Load, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--values", type=int, default=500_000_000)
    parser.add_argument("--times", type=int, default=300)
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        config = Path(name, "config.yaml")
        config.write_text(yaml.safe_dump({"dbc": [str(FLEET_DBC)]}))
        with (
            ChildPlatform(Path(name, "data"), 0, 0, 0, "--config", str(config)) as platform,
            httpx.Client(base_url=platform.url, headers={"X-API-Key": platform.key}, timeout=60) as http,
            httpx.Client(base_url=platform.clickhouse_url) as clickhouse,
        ):
            with fleet_sending(platform, 15):
                time.sleep(16)
            began = time.monotonic()
            report["rows"] = load(clickhouse, arguments.values)
            report["loaded_s"] = round(time.monotonic() - began)
            time.sleep(30)
            asked = questions()
            vehicles = asked.pop("")[1](0)["vehicles"]
            passes = {"alone": None, "again, from the cache where there is one": arguments.times // 10}
            for what, distinct in passes.items():
                report[what] = {
                    kind: measured(http, path, ask, vehicles, arguments.times, distinct)
                    for kind, (path, ask) in asked.items()
                }
                print(what, json.dumps(report[what]), file=sys.stderr, flush=True)
            vehicles = vehicles[::-1]
            with fleet_sending(platform, 300):
                time.sleep(10)
                report["while 50,000 frames/s come in"] = {
                    kind: measured(http, path, lambda i, ask=ask: ask(i + arguments.times), vehicles, arguments.times)  # type: ignore[misc]
                    for kind, (path, ask) in asked.items()
                }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
