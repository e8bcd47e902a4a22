"""`canfleet storage`: parts, bytes, compression and cost by table and tier, and what a month takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from canfleet import api
from pipeline.clickhouse.storage import MONTH_DAYS, Month, Tier

Config = Annotated[Path | None, typer.Option(help="The platform's configuration: retention and prices.")]
Rate = Annotated[
    float | None, typer.Option(help="Frames a second to extrapolate to; the last five minutes' rate if absent.")
]


def storage(
    config: Config = None,
    clickhouse: Annotated[
        str | None,
        typer.Option(
            envvar="CANFLEET_CLICKHOUSE", help="URL of ClickHouse; by the configuration, else http://127.0.0.1:8123."
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(envvar="CANFLEET_CLICKHOUSE_USER")] = None,
    password: Annotated[str | None, typer.Option(envvar="CANFLEET_CLICKHOUSE_PASSWORD")] = None,
    rate: Rate = None,
    as_json: api.Json = False,
) -> None:
    """Show what the warehouse takes. It asks ClickHouse itself: the tables hold every fleet's rows."""
    from pipeline.clickhouse.client import Warehouse
    from pipeline.clickhouse.storage import overview
    from pipeline.config import load_config

    loaded = load_config(config, {})
    given = {"url": clickhouse or loaded.clickhouse_url, "user": user, "password": password}
    settings = loaded.clickhouse.model_copy(
        update={name: value for name, value in given.items() if value is not None}
        | ({} if loaded.clickhouse.url else {"storage_policy": "hot_cold"})
    )
    warehouse = Warehouse.connect(settings)
    try:
        found = overview(warehouse, rate)
    finally:
        warehouse.close()
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    console = Console()
    console.print(_shown(found.tiers))
    if found.month is not None:
        console.print(_extrapolated(found.month), highlight=False)


def _shown(found: list[Tier]) -> Table:
    numbers = [
        Column(name, justify="right") for name in ("parts", "rows", "size", "bytes a row", "ratio", "USD a month")
    ]
    table = Table(Column("table", no_wrap=True), "tier", *numbers, box=None)
    for one in found:
        per_row = one.bytes / one.rows if one.rows else 0.0
        table.add_row(
            one.table,
            one.tier,
            f"{one.parts:,}",
            f"{one.rows:,}",
            _size(one.bytes),
            f"{per_row:.2f}",
            f"{one.ratio:.1f}",
            f"{one.usd_per_month:.2f}",
        )
    total = sum(one.bytes for one in found)
    parts, rows, cost = (sum(getattr(one, name) for one in found) for name in ("parts", "rows", "usd_per_month"))
    table.add_row("all", "", f"{parts:,}", f"{rows:,}", _size(total), "", "", f"{cost:.2f}")
    return table


def _extrapolated(ahead: Month) -> str:
    return (
        f"at {ahead.frames_per_s:,.0f} frames/s and {ahead.bytes_per_frame:.1f} bytes a frame, {MONTH_DAYS} days take "
        f"{_size(ahead.month_bytes)} (USD {ahead.month_usd:,.2f} a month); with this retention there will be "
        f"{_size(ahead.kept_hot_bytes)} hot and {_size(ahead.kept_cold_bytes)} cold (USD {ahead.kept_usd:,.2f} a month)"
    )


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.2f} TB"
