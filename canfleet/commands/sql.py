"""`canfleet sql`: SQL on the warehouse."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from canfleet import api
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings


def sql(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One statement; table names need no database.")],
    clickhouse: Annotated[
        str, typer.Option(envvar="CANFLEET_CLICKHOUSE", help="URL of ClickHouse.")
    ] = "http://127.0.0.1:8123",
    user: Annotated[str, typer.Option(envvar="CANFLEET_CLICKHOUSE_USER")] = "default",
    password: Annotated[str, typer.Option(envvar="CANFLEET_CLICKHOUSE_PASSWORD")] = "",
    as_json: api.Json = False,
) -> None:
    """Run one SQL statement and print what it gives."""
    warehouse = Warehouse.connect(WarehouseSettings(url=clickhouse, user=user, password=password))
    try:
        rows = warehouse.arrow(statement)
    finally:
        warehouse.close()
    if as_json:
        typer.echo(orjson.dumps(rows.to_pylist(), default=_text))
        return
    table = Table(*rows.column_names, box=None)
    for row in rows.to_pylist():
        table.add_row(*(_text(value) for value in row.values()))
    Console().print(table)


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
