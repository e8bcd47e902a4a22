"""Rows of any statement as a table, CSV, JSON or Parquet, written batch by batch as ClickHouse sends them.

ClickHouse's String is any bytes. Text formats have it as text where it is UTF-8, else in hexadecimal, value by value.
Parquet has one type a column: text, but for a column called `data`, as in `frames`, which is bytes.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from enum import StrEnum
from typing import Any, BinaryIO, Final, TypeAlias

import orjson
import pyarrow as pa
import typer

from pipeline.errors import CanfleetError

MOST_TABLE_ROWS: Final = 1_000
"""Of a table for people, whose widths are known once all its rows are."""

_ROW_GROUP_BYTES: Final = 64 << 20
_WIDE: Final = 100_000
_SECONDS: Final = pa.timestamp("s", "UTC")
_TIME: Final = "%Y-%m-%dT%H:%M:%S%.f%:z"
_CONTROLS: Final = {c: f"\\x{c:02x}" for c in [*range(32), *range(127, 160)] if chr(c) not in "\t\n"}
"""Of a table's cells: bytes of others would move the cursor of a terminal."""

Batches: TypeAlias = Iterator[pa.RecordBatch]


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    PARQUET = "parquet"


def write(form: Format, schema: pa.Schema, times: Set[str], batches: Batches, sink: BinaryIO) -> None:
    """Write all rows, with seconds since the epoch in the columns `times`. Memory is that of a batch; Parquet's, of a
    row group.

    Raises:
        CanfleetError: two columns have one name, or Parquet would need a column of text and bytes.
    """
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice and form is not Format.TABLE:
        raise CanfleetError(f"two columns are called {twice[0]}: give one another name with AS")
    dated = pa.schema([f.with_type(_SECONDS) if f.name in times else f for f in schema])
    _WRITERS[form](dated, (_dated(batch, dated) for batch in batches), sink)


def _dated(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        column.cast(pa.int64()).cast(_SECONDS) if field.type == _SECONDS and column.type != _SECONDS else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _table(schema: pa.Schema, batches: Batches, sink: BinaryIO) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(Text(name)) for name in schema.names), box=None)
    left, more = MOST_TABLE_ROWS, False
    for batch in batches:
        for row in zip(*_plain_columns(batch.slice(0, left)), strict=True):
            table.add_row(*(Text(str(value).translate(_CONTROLS)) for value in row))
        more = batch.num_rows > left
        if more:
            break
        left -= batch.num_rows
    text = io.TextIOWrapper(sink, "utf-8")
    Console(file=text, width=None if sink.isatty() else _WIDE).print(table)
    text.flush()
    text.detach()
    if more:
        typer.echo(f"the first {MOST_TABLE_ROWS:,} rows: --format csv writes all of them", err=True)


def _csv(schema: pa.Schema, batches: Batches, sink: BinaryIO) -> None:
    import polars as pl

    sink.write(pl.DataFrame(schema=schema.names).write_csv().encode())
    for batch in batches:
        frame = pl.DataFrame(pa.table([_flat_text(column) for column in batch.columns], names=schema.names))
        sink.write(frame.write_csv(include_header=False, datetime_format=_TIME).encode())


def _json(schema: pa.Schema, batches: Batches, sink: BinaryIO) -> None:
    between = b"["
    for batch in batches:
        for row in _objects(schema, batch):
            sink.write(between + row)
            between = b",\n"
    sink.write(b"[]\n" if between == b"[" else b"]\n")


def _ndjson(schema: pa.Schema, batches: Batches, sink: BinaryIO) -> None:
    for batch in batches:
        sink.writelines(row + b"\n" for row in _objects(schema, batch))


def _parquet(schema: pa.Schema, batches: Batches, sink: BinaryIO) -> None:
    import pyarrow.parquet as pq

    typed = pa.schema([f if f.name == "data" else f.with_type(_text_type(f.type)) for f in schema])
    held: list[pa.RecordBatch] = []
    with pq.ParquetWriter(sink, typed, compression="zstd") as writer:
        for batch in batches:
            held.append(_as_typed(batch, typed))
            if sum(one.nbytes for one in held) >= _ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held))
                held = []
        writer.write_table(pa.Table.from_batches(held, typed))


_WRITERS: Final[Mapping[Format, Callable[[pa.Schema, Batches, BinaryIO], None]]] = {
    Format.TABLE: _table,
    Format.CSV: _csv,
    Format.JSON: _json,
    Format.NDJSON: _ndjson,
    Format.PARQUET: _parquet,
}


def _objects(schema: pa.Schema, batch: pa.RecordBatch) -> Iterator[bytes]:
    """A JSON object for each row; no number is NaN in JSON, so it is null."""
    for row in zip(*_plain_columns(batch), strict=True):
        yield orjson.dumps(dict(zip(schema.names, row, strict=True)), default=str)


def _plain_columns(batch: pa.RecordBatch) -> list[list[Any]]:
    return [[_plain(value) for value in column.to_pylist()] for column in batch.columns]


def _plain(value: Any) -> Any:  # noqa: ANN401
    """The value without bytes, at any depth."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _flat_text(column: pa.Array) -> pa.Array:
    """A column without bytes, and with JSON for what is nested. One that is text throughout takes no loop."""
    if pa.types.is_nested(column.type):
        rows = (None if v is None else orjson.dumps(_plain(v), default=str).decode() for v in column.to_pylist())
        return pa.array(rows, pa.utf8())
    if isinstance(column.type, pa.UuidType):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.utf8())
    if not _is_bytes(column.type):
        return column
    try:
        return column.cast(pa.utf8())
    except pa.ArrowInvalid:
        return pa.array([_plain(value) for value in column.to_pylist()], pa.utf8())


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _text_type(kind: pa.DataType) -> pa.DataType:
    """The type with text in place of ClickHouse's String, in arrays too."""
    if pa.types.is_binary(kind):
        return pa.utf8()
    return pa.list_(_text_type(kind.value_type)) if pa.types.is_list(kind) else kind


def _as_typed(batch: pa.RecordBatch, typed: pa.Schema) -> pa.RecordBatch:
    columns = []
    for column, field in zip(batch.columns, typed, strict=True):
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowInvalid as error:
            raise CanfleetError(
                f"column {field.name} has values that are no text (UTF-8): select hex({field.name}), or call it "
                "`data`, whose values are bytes in Parquet"
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=typed)
