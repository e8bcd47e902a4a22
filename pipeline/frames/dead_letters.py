"""Rows that could not be accepted, with the reason and the text to look at, mend and send again."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.frames.reasons import Reason
from pipeline.types import U8

DEAD_LETTERS: Final = pa.schema(
    [
        pa.field("stage", pa.utf8(), nullable=False),
        pa.field("reason", pa.utf8(), nullable=False),
        pa.field("payload", pa.utf8(), nullable=False),
    ]
)
"""One row per rejected row. `payload` is the original line, or the row as one JSON object with data in hex."""

NONE: Final = pa.RecordBatch.from_arrays([pa.array([], pa.utf8())] * 3, schema=DEAD_LETTERS)
"""No dead letters."""

_STAGES: Final = pa.array([_reason.stage for _reason in Reason])
_WORDS: Final = pa.array([_reason.word for _reason in Reason])
_POSITION: Final = np.zeros(256, np.int32)
_POSITION[[int(_reason) for _reason in Reason]] = np.arange(len(Reason))


def dead_letters(codes: U8, payloads: pa.StringArray) -> pa.RecordBatch:
    """Dead letters for rows with `Reason` codes uint8[k] and payloads utf8[k]. O(k)."""
    positions = pa.array(_POSITION[codes])
    return pa.RecordBatch.from_arrays([_STAGES.take(positions), _WORDS.take(positions), payloads], schema=DEAD_LETTERS)
