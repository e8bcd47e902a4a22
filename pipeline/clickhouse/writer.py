"""Inserts of Arrow batches, each under a token: sent again, it stores nothing twice, in tables and rollups alike."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import pyarrow as pa

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.order import in_table_order
from pipeline.errors import WarehouseError
from pipeline.frames.schema import TIMESTAMP

Rows: TypeAlias = pa.RecordBatch | pa.Table

_NAME: Final[pa.DataType] = pa.dictionary(pa.int32(), pa.utf8())

FRAMES: Final[pa.Schema] = pa.schema(
    [
        pa.field("fleet", _NAME, nullable=False),
        pa.field("vehicle_id", _NAME, nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("session", pa.uint32()),
        pa.field("sequence", pa.uint64()),
        pa.field("channel", pa.uint8(), nullable=False),
        pa.field("arbitration_id", pa.uint32(), nullable=False),
        pa.field("is_extended", pa.bool_(), nullable=False),
        pa.field("data", pa.binary(), nullable=False),
        pa.field("received_at", TIMESTAMP, nullable=False),
    ]
)
"""Rows of `frames`."""

SIGNALS: Final[pa.Schema] = pa.schema(
    [
        pa.field("fleet", _NAME, nullable=False),
        pa.field("vehicle_id", _NAME, nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("message", _NAME, nullable=False),
        pa.field("signal", _NAME, nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
"""Rows of `signals`; NaN and infinities are stored, and left out of the rollups."""

MINUTES: Final[pa.Schema] = pa.schema(
    [
        pa.field("fleet", _NAME, nullable=False),
        pa.field("vehicle_id", _NAME, nullable=False),
        pa.field("signal", _NAME, nullable=False),
        pa.field("message", _NAME, nullable=False),
        pa.field("timestamp", pa.uint32(), nullable=False),
        pa.field("count", pa.uint64(), nullable=False),
        pa.field("min", pa.float64(), nullable=False),
        pa.field("max", pa.float64(), nullable=False),
        pa.field("sum", pa.float64(), nullable=False),
        pa.field("last", pa.binary(16), nullable=False),
    ]
)
"""Partial aggregates of one series and minute: `timestamp` in seconds, `last` little-endian, the value's bits in the
low 64 and its time in microseconds in the high 64."""

ANOMALIES: Final[pa.Schema] = pa.schema(
    [
        pa.field("fleet", pa.utf8(), nullable=False),
        pa.field("vehicle_id", pa.utf8(), nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("detected_at", TIMESTAMP, nullable=False),
        pa.field("kind", pa.utf8(), nullable=False),
        pa.field("message", pa.utf8(), nullable=False),
        pa.field("signal", pa.utf8(), nullable=False),
        pa.field("arbitration_id", pa.uint32()),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("detail", pa.utf8(), nullable=False),
        pa.field("ended_at", TIMESTAMP, nullable=False),
        pa.field("count", pa.uint64(), nullable=False),
        pa.field("closed", pa.bool_(), nullable=False),
        pa.field("id", pa.utf8(), nullable=False),
    ]
)
"""States of anomalies. Of each `id`, the state with the most violations wins, and of two with as many, the closed."""

DEAD_LETTERS: Final[pa.Schema] = pa.schema(
    [
        pa.field("fleet", pa.utf8(), nullable=False),
        pa.field("received_at", TIMESTAMP, nullable=False),
        pa.field("stage", pa.utf8(), nullable=False),
        pa.field("reason", pa.utf8(), nullable=False),
        pa.field("payload", pa.utf8(), nullable=False),
        pa.field("request_id", pa.utf8(), nullable=False),
    ]
)
"""Rows of `dead_letters`."""

_BY_SERIES: Final = ("fleet", "vehicle_id", "signal")

SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # The rollup views rely on rows collapsing when they are inserted.
    "optimize_on_insert": 1,
    # A backfill spans many weeks in one insert: an acknowledged frame must be stored, so none is refused.
    "max_partitions_per_insert_block": 0,
}
"""Of every insert."""


class Writer:
    """Inserts into the tables of one database. May be used from several threads.

    A token names a batch: the same token must come with the same rows in the same order. ClickHouse remembers the last
    10,000 tokens of each table and partition. After ClickHouse was killed, a rollup can lack its newest batch until
    the same token comes again, so send the unconfirmed batch again at every start.

    Rows of one call become one part per partition: few large calls cost far less than many small ones.
    A `comment` stands as `log_comment` in ClickHouse's query log.
    Every method raises WarehouseError where the rows do not have the table's columns and types or ClickHouse refused
    them, and WarehouseAway where retrying is right.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        """Write into `warehouse`."""
        self._warehouse = warehouse

    def insert_frames(self, rows: Rows, token: str, comment: str = "") -> None:
        """Insert rows of schema `FRAMES`."""
        self._insert("frames", FRAMES, in_table_order(_one_batch(rows), ("fleet", "vehicle_id")), token, comment)

    def insert_signals(self, rows: Rows, token: str, comment: str = "") -> None:
        """Insert rows of schema `SIGNALS`. The rollups learn of them by `insert_minutes`."""
        self._insert("signals", SIGNALS, in_table_order(_one_batch(rows), _BY_SERIES), token, comment)

    def insert_minutes(self, rows: Rows, token: str) -> None:
        """Insert rows of schema `MINUTES` into the rollup by minute; that by hour follows in the same call."""
        self._insert("signals_1m_states", MINUTES, in_table_order(_one_batch(rows), _BY_SERIES), token)

    def insert_anomalies(self, rows: Rows, token: str) -> None:
        """Insert rows of schema `ANOMALIES`."""
        self._insert("anomalies_log", ANOMALIES, rows, token)

    def insert_dead_letters(self, rows: Rows, token: str, comment: str = "") -> None:
        """Insert rows of schema `DEAD_LETTERS`."""
        self._insert("dead_letters", DEAD_LETTERS, rows, token, comment)

    def _insert(self, table: str, schema: pa.Schema, rows: Rows, token: str, comment: str = "") -> None:
        if not rows.num_rows:
            return
        if not token:
            raise WarehouseError(f"rows for {table} came without a token: without one, a re-sent batch is stored twice")
        if set(rows.schema.names) != set(schema.names):
            raise WarehouseError(f"rows for {table} have columns {rows.schema.names}, they must have {schema.names}")
        settings = SETTINGS | {"insert_deduplication_token": token} | ({"log_comment": comment} if comment else {})
        self._warehouse.insert(table, rows.schema.names, one_block(rows), **settings)


def one_block(rows: Rows) -> memoryview:
    """An Arrow IPC stream of one record batch: one batch is one block, and one block has one token."""
    batch = _one_batch(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def _one_batch(rows: Rows) -> pa.RecordBatch:
    if isinstance(rows, pa.RecordBatch):
        return rows
    batches = rows.unify_dictionaries().combine_chunks().to_batches()
    # No batch is an empty table; several would be columns beyond 2 GiB, which no sensible insert has.
    return batches[0] if len(batches) == 1 else pa.RecordBatch.from_pylist(rows.to_pylist(), rows.schema)
