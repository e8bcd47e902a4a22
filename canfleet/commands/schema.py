"""`canfleet schema`: what a start would change in ClickHouse, or the schema of a cluster; it changes nothing itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from canfleet import api
from pipeline.errors import CanfleetError


def schema(
    config: Annotated[Path | None, typer.Option(help="The platform's configuration.")] = None,
    clickhouse: Annotated[
        str | None,
        typer.Option(
            envvar="CANFLEET_CLICKHOUSE", help="URL of ClickHouse; by the configuration, else http://127.0.0.1:8123."
        ),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Print the whole schema for this cluster instead; asks no ClickHouse.")
    ] = None,
    as_json: api.Json = False,
) -> None:
    """Show the migrations that are pending, statement by statement; exits 1 where one would lose data."""
    from pipeline.clickhouse.client import Warehouse
    from pipeline.clickhouse.cluster import cluster_schema
    from pipeline.clickhouse.migrate import planned
    from pipeline.config import load_config

    loaded = load_config(config, {})
    settings = loaded.clickhouse
    if cluster is not None:
        statements = cluster_schema(cluster, settings.database, settings.storage_policy, settings.retention)
        typer.echo(json.dumps(statements) if as_json else "".join(f"{one};\n\n" for one in statements).rstrip())
        return
    policy = settings.storage_policy if loaded.clickhouse.url else "hot_cold"
    warehouse = Warehouse.connect(
        settings.model_copy(update={"url": clickhouse or loaded.clickhouse_url, "storage_policy": policy})
    )
    try:
        plan = planned(warehouse)
    finally:
        warehouse.close()
    if as_json:
        names = ("number", "name", "statements", "would_lose")
        rows = [(one.number, one.name, statements, lost) for one, statements, lost in plan]
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    else:
        for one, statements, _ in plan:
            typer.echo(f"-- {one.number:04d}_{one.name}")
            typer.echo("".join(f"{statement};\n\n" for statement in statements).rstrip())
        if not plan:
            typer.echo("-- nothing is pending")
    refused = [f"{one.number:04d}_{one.name} would lose {lost}" for one, _, lost in plan if lost is not None]
    if refused:
        raise CanfleetError(f"refused: migration {'; '.join(refused)}")
