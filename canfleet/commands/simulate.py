"""`canfleet simulate`: a synthetic fleet against a running platform."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.errors import CanfleetError


def simulate(
    key: Annotated[str, typer.Option(envvar="CANFLEET_KEY", help="A key with scope ingest.")],
    url: Annotated[str, typer.Option(help="Base URL of the platform.")] = "http://127.0.0.1:8080",
    vehicles: Annotated[int, typer.Option(min=1, max=1_000_000, help="Vehicles, veh-00000 and so on.")] = 100,
    rate: Annotated[float, typer.Option(min=0.001, help="Frames per second and vehicle.")] = 5.0,
    duration: Annotated[float, typer.Option(min=0.0, help="Seconds; 0 runs until Ctrl-C.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="Most frames of one request; one leaves every 200 ms.")] = 5_000,
    duplicates: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of frames sent twice.")] = 0.0,
    late: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of frames held back for up to 3 s.")] = 0.0,
    anomalies: Annotated[float, typer.Option(min=0.0, help="Chance of an anomaly per vehicle and minute.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same drives.")] = 1,
    dbc: Annotated[Path | None, typer.Option(help="Another database; its signals then walk at random.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Write what was injected to this file, as JSON lines.")] = None,
    connections: Annotated[int, typer.Option(min=1, max=256, help="Parallel connections.")] = 4,
    zstd: Annotated[bool, typer.Option("--zstd", help="Compress requests.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Drive a synthetic fleet in real time; exits 0 only if all frames sent were acknowledged."""
    from simulator.fleet import Fleet, warm_up
    from simulator.injections import Injections
    from simulator.run import run_fleet
    from simulator.sender import Results, Sender

    async def drive(progress: Callable[[float, Results], None]) -> tuple[Fleet, Results]:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with Sender(url, key, connections=connections) as sender:
            await sender.check()
            fleet = Fleet(vehicles, rate, seed, dbc=dbc, injections=injected, start_us=time.time_ns() // 1_000)
            try:
                await run_fleet(
                    fleet,
                    sender,
                    duration_s=duration,
                    frames_per_s=vehicles * rate,
                    batch=batch,
                    zstd=zstd,
                    stop=stop,
                    progress=progress,
                )
            finally:
                if truth is not None:
                    fleet.write_truth(truth)
        return fleet, sender.results

    try:
        injected = Injections(duplicates, late, anomalies)
        if truth is not None and not truth.absolute().parent.is_dir():
            raise CanfleetError(f"truth file {truth}: its folder does not exist")
        warm_up(dbc)
        with _Progress(vehicles * rate) as progress:
            fleet, results = asyncio.run(drive(progress.show))
    except CanfleetError as error:
        typer.echo(f"canfleet simulate: {error}", err=True)
        raise typer.Exit(1) from error
    summary: dict[str, Any] = {
        "vehicles": vehicles,
        "frames": fleet.frames,
        "duplicates_sent": fleet.duplicates,
        "late": fleet.late,
        "episodes": len(fleet.episodes()),
        **results.as_json(),
    }
    typer.echo(json.dumps(summary) if as_json else _words(summary))
    if not results.complete:
        missing = results.sent - results.acknowledged
        reason = results.problem or "no answer"
        typer.echo(f"canfleet simulate: {missing} frames were not acknowledged: {reason}", err=True)
        raise typer.Exit(1)


def _words(summary: dict[str, Any]) -> str:
    latency = summary["latency_ms"]
    return "\n".join(
        [
            f"sent           {summary['sent']:,} frames of {summary['vehicles']:,} vehicles in "
            f"{summary['requests']:,} requests ({summary['duplicates_sent']:,} twice, "
            f"{summary['late']:,} late, {summary['episodes']:,} episodes)",
            f"acknowledged   {summary['acknowledged']:,}: {summary['accepted']:,} accepted, "
            f"{summary['duplicates']:,} duplicates, {summary['dead_lettered']:,} dead letters",
            f"refused        {summary['refused']:,} requests, {summary['retries']:,} repeated, "
            f"{summary['failed']:,} frames given up",
            f"latency        p50 {latency['p50']:.1f} ms, p90 {latency['p90']:.1f} ms, p99 {latency['p99']:.1f} ms, "
            f"max {latency['max']:.1f} ms",
        ]
    )


class _Progress:
    """A line that renews itself on a terminal, a plain line every five seconds elsewhere; on stderr."""

    def __init__(self, frames_per_s: float) -> None:
        self._target = frames_per_s
        self._live = Live(Text("starting"), console=Console(stderr=True), auto_refresh=False, transient=True)
        self._terminal = sys.stderr.isatty()
        self._interval_s = 0.5 if self._terminal else 5.0
        self._next_s = self._interval_s

    def __enter__(self) -> _Progress:
        if self._terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, elapsed_s: float, results: Any) -> None:  # noqa: ANN401 - imported late, for a quick --help
        if elapsed_s < self._next_s:
            return
        self._next_s += self._interval_s
        latency = results.latency.summary_ms()
        line = (
            f"{elapsed_s:7.0f} s  {results.sent:,} sent, {results.acknowledged:,} acknowledged, "
            f"{results.refused:,} refused, p99 {latency['p99']:.1f} ms, {self._target:,.0f} frames/s wanted"
        )
        if self._terminal:
            self._live.update(Text(line), refresh=True)
        else:
            typer.echo(line, err=True)
