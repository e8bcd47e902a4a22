"""`canfleet up`: keeps the platform running in the foreground until SIGINT or SIGTERM, then drains."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from actors.layout import fixed_layout
from canfleet.binding import end_with_parent
from canfleet.run_file import is_held, read_run_file
from canfleet.supervisor import Supervisor
from pipeline.config import CanfleetConfig, load_config
from pipeline.decode.databases import load_catalogue
from pipeline.errors import CanfleetError
from simulator import FLEET_DBC

_END_S: Final = 30.0


def up(
    config: Annotated[Path | None, typer.Option(help="Configuration file, YAML.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of all data; canfleet-data by default.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; loopback by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the HTTP API; 8080 by default.")] = None,
    clickhouse_port: Annotated[int | None, typer.Option(help="Port of the embedded ClickHouse; 8123.")] = None,
    dashboard_port: Annotated[int | None, typer.Option(help="Port of the Ray dashboard; 8265.")] = None,
    dbc: Annotated[list[Path] | None, typer.Option(help="A signal database; may be repeated.")] = None,
    partitions: Annotated[int | None, typer.Option(help="Logical partitions, fixed at the first start.")] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            help="On a Ray cluster: take the place of the `canfleet up` that runs there. The platform goes on, and is "
            "renewed part by part where this is another release or configuration."
        ),
    ] = False,
    bootstrap_key: Annotated[
        str | None,
        typer.Option(envvar="CANFLEET_BOOTSTRAP_KEY", help="A key with every scope, for fleet `default`."),
    ] = None,
) -> None:
    """Run the platform until Ctrl-C or SIGTERM; prints `canfleet is ready: URL` when it accepts data.

    It is started again when Ray or a part of it that Ray cannot restart dies. SIGHUP replaces the processes of the
    HTTP API one after the other, without refusing a request.
    """
    end_with_parent()
    settings = with_demo_database(
        load_config(
            config,
            _given(
                {
                    "data_dir": data_dir,
                    "server.host": host,
                    "server.port": port,
                    "clickhouse_port": clickhouse_port,
                    "ray.dashboard_port": dashboard_port,
                    "dbc": dbc or None,
                    "shard.partitions": partitions,
                }
            ),
        )
    )
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    if take_over:
        _take_over(settings)
    raise typer.Exit(Supervisor(settings, bootstrap_key).run())


def _take_over(config: CanfleetConfig) -> None:
    """End the `canfleet up` that runs on the data directory, and leave the platform, which is the cluster's."""
    if config.ray.address is None:
        raise CanfleetError("--take-over is for a platform on a Ray cluster (ray.address): this one would end with it")
    pid = int(read_run_file(config.data_dir)["pid"])
    # What would stop the start is found before anything is ended.
    load_catalogue(config.profiles())
    fixed_layout(config)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _END_S
    # By its lock: the process is a zombie a moment before the last of its threads lets go of that.
    while is_held(config.data_dir):
        if time.monotonic() > deadline:
            raise CanfleetError(f"process {pid} does not end")
        time.sleep(0.05)


def with_demo_database(config: CanfleetConfig) -> CanfleetConfig:
    """The configuration, with the simulator's database where it names none at all."""
    if config.dbc or config.models:
        return config
    typer.echo(f"no signal database given: decoding with the simulator's, {FLEET_DBC.name}; name yours with --dbc")
    return config.model_copy(update={"dbc": (FLEET_DBC,)})


def _given(overrides: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in overrides.items() if value is not None}
