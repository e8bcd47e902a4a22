"""`canfleet sql`: SQL on the warehouse."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from canfleet.sql_formats import Format, write
from pipeline.errors import CanfleetError, WarehouseAway, WarehouseError

if TYPE_CHECKING:
    from pipeline.clickhouse.client import Warehouse

_PATIENCE_S: Final = 3_600
"""For the next bytes of an answer: a statement over a year's values may take its time before the first."""
_DATETIME: Final = re.compile(r"(Nullable\()?DateTime(\('.+'\))?\)?")


def sql(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One statement; table names need no database.")],
    form: Annotated[
        Format | None,
        typer.Option("--format", help="What rows are written as; by the ending of --output, else a table."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="A file, which appears once it is whole; standard output if absent.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="Value of {NAME:Type} in the statement; any number."),
    ] = None,
    clickhouse: Annotated[
        str, typer.Option(envvar="CANFLEET_CLICKHOUSE", help="URL of ClickHouse.")
    ] = "http://127.0.0.1:8123",
    user: Annotated[str, typer.Option(envvar="CANFLEET_CLICKHOUSE_USER")] = "default",
    password: Annotated[str, typer.Option(envvar="CANFLEET_CLICKHOUSE_PASSWORD")] = "",
    database: Annotated[str, typer.Option(envvar="CANFLEET_CLICKHOUSE_DATABASE")] = "canfleet",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Run one SQL statement and write what it gives, as it comes."""
    from pipeline.clickhouse.client import Warehouse
    from pipeline.clickhouse.settings import WarehouseSettings

    chosen = _chosen(form, output, as_json)
    values = _values(statement, parameter or [])
    settings = WarehouseSettings(url=clickhouse, user=user, password=password, timeout_s=_PATIENCE_S)
    warehouse = Warehouse.connect(settings.model_copy(update={"database": database}))
    batches = warehouse.batches(statement, values, output_format_arrow_string_as_string=0)
    with closing(warehouse), closing(batches):
        first = next(batches, None)
        if first is None:
            as_list = chosen is Format.JSON and output is None
            typer.echo("[]" if as_list else "done", err=chosen in {Format.CSV, Format.NDJSON})
            return
        with _sink(output) as sink:
            write(chosen, first.schema, _times(warehouse, statement, values), batches, sink)


def _chosen(form: Format | None, output: Path | None, as_json: bool) -> Format:
    if as_json and form not in {None, Format.JSON}:
        raise CanfleetError(f"--json and --format {form} exclude each other")
    ending = output.suffix.lower().removeprefix(".") if output else ""
    by_ending = Format(ending) if ending in set(Format) else Format.TABLE
    chosen = Format.JSON if as_json else form or by_ending
    if chosen is Format.PARQUET and output is None:
        raise CanfleetError("--format parquet wants a file: add --output FILE")
    return chosen


def _values(statement: str, given: list[str]) -> dict[str, Any]:
    """Parameters by name, all of which the statement has: others would be put into its text, as % says."""
    values: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise CanfleetError(f"--param {one} is no NAME=VALUE")
        found = re.search(rf"\{{{re.escape(name)}:(Array|Tuple|Map)?", statement)
        if found is None:
            raise CanfleetError(f"the statement has no {{{name}:Type}} for --param {name}")
        try:
            values[name] = ast.literal_eval(value) if found[1] else value
        except (ValueError, SyntaxError) as error:
            raise CanfleetError(f"--param {one} is no {found[1]} such as ['a', 'b']") from error
    return values


def _times(warehouse: Warehouse, statement: str, values: dict[str, Any]) -> set[str]:
    """Names of the columns of DateTime, which ClickHouse puts into Arrow as the numbers that they are inside."""
    try:
        columns = warehouse.rows(f"DESCRIBE (\n{statement.rstrip().rstrip(';')}\n)", values)
    except WarehouseAway:
        raise
    except WarehouseError:
        return set()  # SHOW and the like have rows, but no query to describe
    return {column["name"] for column in columns if _DATETIME.fullmatch(column["type"])}


@contextmanager
def _sink(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file beside `output` that takes its place at the end."""
    if output is None:
        yield typer.get_binary_stream("stdout")
        return
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except OSError as error:
        raise CanfleetError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
