"""`canfleet demo`: the platform with a small fleet of its own, and at the end the proof that nothing was lost."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from canfleet import api
from canfleet.child import ChildPlatform

if TYPE_CHECKING:
    from pipeline.clickhouse.client import Warehouse

_STORE_TIMEOUT_S: Final = 60.0
_PROGRESS_S: Final = 5.0


def demo(
    duration: Annotated[float, typer.Option(min=0, help="Seconds; 0 runs until Ctrl-C.")] = 0,
    vehicles: Annotated[int, typer.Option(min=1)] = 500,
    rate: Annotated[float, typer.Option(min=0.1, help="Frames per second and vehicle.")] = 5.0,
    port: Annotated[int, typer.Option(help="Port of the HTTP API; 0 takes a free one.")] = 8080,
    clickhouse_port: Annotated[int, typer.Option(help="Port of the embedded ClickHouse; 0 takes a free one.")] = 8123,
    dashboard_port: Annotated[int, typer.Option(help="Port of the Ray dashboard; 0 takes a free one.")] = 8265,
) -> None:
    """Start everything with a simulated fleet; exits 0 only if every acknowledged frame is in ClickHouse once."""
    with tempfile.TemporaryDirectory(prefix="canfleet-demo-") as folder:
        typer.echo(
            "starting Ray, ClickHouse, the partition actors and the HTTP API (about 25 s, longer the first time)"
        )
        with ChildPlatform(Path(folder), port, clickhouse_port, dashboard_port) as platform:
            _print_urls(platform)
            outcome = asyncio.run(_drive(platform, vehicles, rate, duration))
            counts = _wait_until_stored(platform, outcome["accepted"])
            anomalies = api.get(platform.url, "/v1/fleet/summary", platform.key)["anomalies"]
        ok = _report(outcome, counts, anomalies)
    if not ok:
        raise typer.Exit(1)


def _print_urls(platform: ChildPlatform) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print("\n[bold]canfleet runs[/bold]")
    console.print(f"  dashboard      {platform.url}/#key={platform.key}")
    console.print(f"  API            {platform.url}/docs")
    console.print(f"  Ray dashboard  http://127.0.0.1:{platform.dashboard_port}")
    console.print(f"  ClickHouse     {platform.clickhouse_url}  (for any ClickHouse client; user default, no password)")
    console.print(f"  API key        {platform.key}\n")


async def _drive(platform: ChildPlatform, vehicles: int, rate: float, duration: float) -> dict[str, Any]:
    """Run the fleet until the time is up or Ctrl-C; what was sent and what the platform said."""
    from simulator.fleet import Fleet, warm_up
    from simulator.injections import Injections
    from simulator.run import run_fleet
    from simulator.sender import Sender

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    warm_up()
    async with Sender(platform.url, platform.key) as sender:
        fleet = Fleet(vehicles, rate, injections=Injections(0.01, 0.01, 0.3), start_us=time.time_ns() // 1000)
        await run_fleet(
            fleet,
            sender,
            duration_s=duration,
            frames_per_s=vehicles * rate,
            stop=stop,
            progress=_Progress(platform),
        )
        results = sender.results
    return {"frames": fleet.frames, "episodes": len(fleet.episodes()), **results.as_json()}


class _Progress:
    """A line every few seconds."""

    def __init__(self, platform: ChildPlatform) -> None:
        self._platform = platform
        self._next_s = _PROGRESS_S

    def __call__(self, elapsed_s: float, results: Any) -> None:  # noqa: ANN401 imported late
        self._platform.check()
        if elapsed_s < self._next_s:
            return
        self._next_s += _PROGRESS_S
        latency = results.latency.summary_ms()
        typer.echo(
            f"{elapsed_s:5.0f} s  {results.acknowledged:>10,} frames acknowledged   "
            f"p50 {latency['p50']:.1f} ms  p99 {latency['p99']:.1f} ms"
        )


def _wait_until_stored(platform: ChildPlatform, accepted: int) -> dict[str, int]:
    """Counts in ClickHouse once all accepted frames and their rollups are there, or after a minute as they are."""
    from pipeline.clickhouse.client import Warehouse
    from pipeline.clickhouse.settings import WarehouseSettings

    warehouse = Warehouse.connect(WarehouseSettings(url=platform.clickhouse_url))
    try:
        return _poll(lambda: _counts(warehouse), accepted)
    finally:
        warehouse.close()


def _poll(read: Callable[[], dict[str, int]], accepted: int) -> dict[str, int]:
    deadline = time.monotonic() + _STORE_TIMEOUT_S
    while True:
        counts = read()
        complete = counts["frames"] >= accepted and counts["rolled_up"] >= counts["signals"]
        if complete or time.monotonic() > deadline:
            return counts
        time.sleep(0.2)


def _counts(warehouse: Warehouse) -> dict[str, int]:
    [row] = warehouse.rows(
        "SELECT (SELECT count() FROM frames) AS frames, "
        "(SELECT uniqExact(fleet, vehicle_id, session, sequence) FROM frames) AS identities, "
        "(SELECT count() FROM signals) AS signals, "
        "(SELECT sum(count) FROM signals_1m) AS rolled_up"
    )
    return {name: int(value) for name, value in row.items()}


def _report(outcome: dict[str, Any], counts: dict[str, int], anomalies: dict[str, int]) -> bool:
    latency = outcome["latency_ms"]
    checks = {
        "every frame sent was acknowledged": outcome["acknowledged"] == outcome["sent"],
        "every accepted frame is in ClickHouse": counts["frames"] == outcome["accepted"] == outcome["frames"],
        "no frame is there twice": counts["identities"] == counts["frames"],
        "the rollups count every signal value once": counts["rolled_up"] == counts["signals"],
    }
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(anomalies.items())) or "none"
    typer.echo(
        f"\nframes sent     {outcome['sent']:,}, of them {outcome['sent'] - outcome['frames']:,} twice\n"
        f"acknowledged    {outcome['acknowledged']:,}: {outcome['accepted']:,} accepted, "
        f"{outcome['duplicates']:,} duplicates, {outcome['dead_lettered']:,} dead letters\n"
        f"stored          {counts['frames']:,} frames, {counts['signals']:,} signal values\n"
        f"anomalies       {found} ({outcome['episodes']} episodes injected)\n"
        f"latency         p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, max {latency['max']:.1f} ms "
        f"from due to acknowledged\n"
    )
    for check, holds in checks.items():
        typer.echo(f"{'ok  ' if holds else 'FAIL'}  {check}")
    return all(checks.values())
