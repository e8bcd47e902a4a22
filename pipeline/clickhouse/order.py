"""Put rows into the table's own order before they are sent: half of the CPU that ClickHouse would spend on it.

Names are dictionary codes, so a counting sort does it in O(rows + names), 50 ns a row with the copy; ClickHouse sorts
strings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from pipeline.types import I32


def in_table_order(batch: pa.RecordBatch, key: Sequence[str]) -> pa.RecordBatch:
    """`batch` sorted by the dictionary columns `key`, most significant first, else in the order it had.

    Time, the last column of every sort key, is left out: rows of a vehicle mostly come in its order already. A batch
    whose names are not dictionary-encoded is returned as it is. The same rows always give the same order.
    """
    if not all(pa.types.is_dictionary(batch.schema.field(name).type) for name in key):
        return batch
    order: I32 | None = None
    for name in reversed(key):
        column = batch.column(name)
        if len(column.dictionary) < 2:
            continue
        codes = column.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        start = np.arange(len(codes), dtype=np.int32) if order is None else order
        order = _stable(start, codes, _ranks(column.dictionary))
    return batch if order is None else batch.take(pa.array(order))


def _ranks(names: pa.Array) -> I32:
    """int32[k]: the place of each name in byte order. O(k log k)."""
    order = pc.sort_indices(names).to_numpy()
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks


@njit(cache=True, nogil=True)
def _stable(order: I32, codes: I32, ranks: I32) -> I32:
    """`order` sorted by `ranks[codes[row]]`, equal ones in the order they had. O(rows + names)."""
    starts = np.zeros(len(ranks) + 1, np.int64)
    for i in range(len(order)):
        starts[ranks[codes[order[i]]] + 1] += 1
    for k in range(len(ranks)):
        starts[k + 1] += starts[k]
    out = np.empty_like(order)
    for i in range(len(order)):
        rank = ranks[codes[order[i]]]
        out[starts[rank]] = order[i]
        starts[rank] += 1
    return out
