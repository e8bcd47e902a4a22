"""Refusals: when ClickHouse refuses an insert for its content, find the rows it refuses, so that the rest can go in.

Rows are tried on a twin of the table that keeps nothing (engine Null) but has its columns and constraints. So looking
for bad rows stores nothing, and needs no undoing whatever crashes on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.writer import SETTINGS, one_block
from pipeline.errors import WarehouseAway, WarehouseError
from pipeline.types import I64

MOST_ROWS: Final = 10_000
"""A chunk of which more is refused is no poison batch: then something is wrong with the table, and all of it waits."""


def refused_rows(warehouse: Warehouse, table: str, rows: pa.RecordBatch) -> I64 | None:
    """int64[k], ascending: the rows that `table` refuses for their content; None where they do not explain a refusal.

    That is where the twin takes every row (the fault lies with the table, its disk or its views), or refuses more than
    `MOST_ROWS` or as good as all. O(k log n) inserts.

    Raises:
        WarehouseAway: ClickHouse went away meanwhile.
    """
    twin = f"{table}_refusals"
    warehouse.command(f"CREATE OR REPLACE TABLE {twin} AS {table} ENGINE = Null")

    def accepts(start: int, end: int) -> bool:
        try:
            warehouse.insert(twin, rows.schema.names, one_block(rows.slice(start, end - start)), **SETTINGS)
        except WarehouseAway:
            raise
        except WarehouseError:
            return False
        return True

    try:
        found = bad_rows(rows.num_rows, accepts, MOST_ROWS)
    finally:
        warehouse.command(f"DROP TABLE IF EXISTS {twin}")
    if found is None or not len(found) or (rows.num_rows > 1 and len(found) == rows.num_rows):
        return None
    return found


def bad_rows(n: int, accepts: Callable[[int, int], bool], most: int) -> I64 | None:
    """int64[k], ascending: the rows of `range(n)` that make a batch be refused; None where there are more than `most`.

    Args:
        n: number of rows.
        accepts: whether rows `[start, end)` are accepted; it must refuse exactly the batches that hold a bad row.
        most: how many are looked for.

    O(k log n) calls, by bisection.
    """
    bad: list[int] = []
    # Good neighbours are not asked again one by one: each pending span is one that is not known to be good.
    pending = [(0, n)] if n else []
    while pending:
        start, end = pending.pop()
        if accepts(start, end):
            continue
        if end - start == 1:
            bad.append(start)
            if len(bad) > most:
                return None
            continue
        middle = (start + end) // 2
        pending += [(middle, end), (start, middle)]
    return np.array(bad, np.int64)
