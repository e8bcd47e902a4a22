"""`canfleet bench`: measures the platform on this machine against its bars."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from canfleet import api
from canfleet.child import ChildPlatform
from pipeline.errors import CanfleetError, ConfigError

if TYPE_CHECKING:
    from canfleet.benchmark.bars import Bar
    from canfleet.benchmark.load import Target

_DECODED_FRAMES = 500_000
_FILE_WIDTH = 140
"""Columns of tables that go into a file or a pipe."""


class Part(StrEnum):
    """A part of the benchmark."""

    KERNELS = "kernels"
    LOAD = "load"
    SUSTAINED = "sustained"
    SMALL = "small"
    STREAM = "stream"
    OVERLOAD = "overload"
    OUTAGE = "outage"
    SOAK = "soak"


def bench(
    rate: Annotated[float, typer.Option(min=1, help="Frames per second of the load part.")] = 50_000,
    duration: Annotated[float, typer.Option(min=5, help="Seconds of the load part, and of the small part.")] = 30,
    sustained_rate: Annotated[float, typer.Option(min=1, help="Frames per second of the sustained part.")] = 150_000,
    sustained_duration: Annotated[float, typer.Option(min=5, help="Seconds of the sustained part.")] = 60,
    overload_rate: Annotated[float, typer.Option(min=1, help="Frames per second of the overload part.")] = 1_000_000,
    overload_duration: Annotated[float, typer.Option(min=5, help="Seconds of the overload part.")] = 20,
    small_rate: Annotated[float, typer.Option(min=1, help="Requests per second of the small part.")] = 2_600,
    stream_vehicles: Annotated[int, typer.Option(min=1, help="WebSockets of the stream part.")] = 2_000,
    stream_interval: Annotated[
        float, typer.Option(min=0.01, help="Seconds between two messages of one of them.")
    ] = 0.2,
    stream_duration: Annotated[float, typer.Option(min=5, help="Seconds of the stream part.")] = 60,
    outage_duration: Annotated[float, typer.Option(min=5, help="Seconds that ClickHouse is away.")] = 600,
    soak_duration: Annotated[float, typer.Option(min=60, help="Seconds of the soak part, at --rate.")] = 3600,
    vehicles: Annotated[int, typer.Option(min=1, help="Size of the simulated fleet.")] = 10_000,
    only: Annotated[
        list[Part] | None, typer.Option(help="Run this part; may be repeated. By default all but outage and soak.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Decode this recorded log too; --dbc decodes it.")] = None,
    dbc: Annotated[Path | None, typer.Option(help="The database of --log.")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration of the platforms that are started.")] = None,
    url: Annotated[str | None, typer.Option(help="Load a running platform instead of a fresh one.")] = None,
    key: Annotated[str, typer.Option(envvar="CANFLEET_KEY", help="With --url: an API key.")] = "",
    clickhouse: Annotated[str, typer.Option(help="With --url: its ClickHouse.")] = "http://127.0.0.1:8123",
    as_json: api.Json = False,
) -> None:
    """Measure throughput, latency percentiles, CPU per frame and the cost of 1,000 messages, and check the bars.

    Exits 1 where an acknowledged frame was lost or stored twice; a bar that is missed is only said.
    """
    if (log is None) != (dbc is None):
        raise ConfigError("--log and --dbc go together: a recorded log, and the database that decodes it")
    from canfleet.benchmark import bars, report
    from canfleet.benchmark import load as loading
    from canfleet.benchmark.load import Target
    from canfleet.benchmark.outage import measure_outage, platform_with_own_clickhouse
    from canfleet.benchmark.overload import measure_overload
    from canfleet.benchmark.recording import Traffic
    from canfleet.benchmark.small import measure_small
    from canfleet.benchmark.soak import measure_soak
    from canfleet.benchmark.stream import measure_stream

    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    parts = only or [part for part in Part if part not in {Part.OUTAGE, Part.SOAK}]
    running = None if url is None else Target(url, key, clickhouse)
    document: dict[str, Any] = {"machine": _machine()}
    found: list[Bar] = []
    if Part.KERNELS in parts:
        console.print("measuring the numeric core …")
        document["kernels"] = kernels = _kernels(vehicles, log, dbc)
        found += bars.kernel_bars(kernels)
        report.print_kernels(console, kernels)
    if Part.LOAD in parts:
        with _target(running, config, console) as target:
            traffic = Traffic(rate, duration, vehicles, loading.INJECTIONS)
            document["load"] = run = _noting_load(lambda: loading.measure_load(target, traffic))
        found += bars.load_bars(run)
        report.print_run(console, "Load", run)
    if Part.SUSTAINED in parts:
        with _target(running, config, console) as target:
            traffic = Traffic(sustained_rate, sustained_duration, vehicles, loading.NOTHING)
            document["sustained"] = run = _noting_load(lambda: loading.measure_sustained(target, traffic))
        found += bars.sustained_bars(run)
        report.print_run(console, "Sustained", run)
    if Part.SMALL in parts:
        with _target(running, config, console) as target:
            document["small"] = run = measure_small(target, small_rate, vehicles, duration)
        found += bars.small_bars(run)
        report.print_small(console, run)
    if Part.STREAM in parts:
        with _target(running, config, console) as target:
            document["stream"] = run = measure_stream(target, stream_vehicles, stream_interval, stream_duration)
        found += bars.stream_bars(run)
        report.print_stream(console, run)
    if Part.OVERLOAD in parts:
        with _target(running, config, console) as target:
            traffic = Traffic(overload_rate, overload_duration, vehicles, loading.NOTHING)
            document["overload"] = run = measure_overload(target, traffic)
        found += bars.overload_bars(run)
        report.print_overload(console, run)
    if Part.OUTAGE in parts:
        console.print(f"ClickHouse away for {outage_duration:g} s …")
        with platform_with_own_clickhouse() as (target, own):
            document["outage"] = run = measure_outage(target, own, rate, vehicles, outage_duration)
        found += bars.outage_bars(run)
        report.print_outage(console, run)
    if Part.SOAK in parts:
        with _target(running, config, console) as target:
            document["soak"] = run = measure_soak(target, rate, vehicles, soak_duration)
        found += bars.soak_bars(run)
        report.print_soak(console, run)
    report.print_bars(console, found)
    if as_json:
        typer.echo(orjson.dumps(document | {"bars": [bar.as_json() for bar in found]}, option=orjson.OPT_INDENT_2))
    if not all(all(document[part]["checks"].values()) for part in Part if "checks" in document.get(part, {})):
        raise typer.Exit(1)


def _kernels(vehicles: int, log: Path | None, dbc: Path | None) -> dict[str, Any]:
    from canfleet.benchmark.detection import measure_detection
    from canfleet.benchmark.kernels import fleet_frames, log_frames, measure_core, measure_decoder, one_core

    before = os.getloadavg()[0]
    with one_core():
        decoder = [measure_decoder(fleet_frames(vehicles, _DECODED_FRAMES))]
        if log is not None and dbc is not None:
            decoder.append(measure_decoder(log_frames(log), dbc))
        core = measure_core(vehicles)
        detection = measure_detection()
    return {"decoder": decoder, "core": core, "detection": detection, "load_average_before": before}


@contextmanager
def _target(running: Target | None, config: Path | None, console: Console) -> Iterator[Target]:
    """The running platform, or a fresh one on a temporary folder and free ports, stopped afterwards."""
    from canfleet.benchmark.load import Target

    if running is not None:
        yield running
        return
    console.print("starting a platform …")
    more = () if config is None else ("--config", str(config))
    with (
        tempfile.TemporaryDirectory(prefix="canfleet-bench-") as folder,
        ChildPlatform(Path(folder), 0, 0, 0, *more) as child,
    ):
        try:
            yield Target(child.url, child.key, child.clickhouse_url, child.pid)
        except (CanfleetError, OSError, ExceptionGroup) as error:
            raise CanfleetError(f"{error}\nthe platform's last lines:\n{child.last_lines()}") from error


def _noting_load(measure: Any) -> dict[str, Any]:  # noqa: ANN401 a call without arguments
    from canfleet.benchmark import bars

    before = os.getloadavg()[0]
    document: dict[str, Any] = measure()
    return document | {
        "load_average_before": before,
        "usd_per_1000_messages": bars.cost_per_thousand(document),
        "usd_per_core_hour": bars.CORE_HOUR_USD,
    }


def _machine() -> dict[str, Any]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "memory_gib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30,
        "system": platform.platform(),
        "python": platform.python_version(),
    }
