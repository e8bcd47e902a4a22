"""`canfleet sql`: SQL on the warehouse."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from canfleet import api


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
    from pipeline.clickhouse.client import Warehouse
    from pipeline.clickhouse.settings import WarehouseSettings

    warehouse = Warehouse.connect(WarehouseSettings(url=clickhouse, user=user, password=password))
    try:
        rows = warehouse.arrow(statement, output_format_arrow_string_as_string=0)
    finally:
        warehouse.close()
    if as_json:
        typer.echo(orjson.dumps([{k: _plain(v) for k, v in row.items()} for row in rows.to_pylist()], default=str))
        return
    table = Table(*rows.column_names, box=None)
    for row in rows.to_pylist():
        table.add_row(*(str(_plain(value)) for value in row.values()))
    Console().print(table)


def _plain(value: object) -> object:
    """ClickHouse's String is any bytes: text where it is UTF-8, else hexadecimal."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()
