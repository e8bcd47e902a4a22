"""The body of a request: a line of JSON a frame, compressed with gzip."""

from __future__ import annotations

import gzip
import json
from typing import Final

from edge.run import Batch

HEADERS: Final = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
_LEVEL: Final = 6
"""A sixth fewer bytes over the air than level 3, for a millisecond of CPU per 1,000 frames instead of half of one."""


def lines(batch: Batch) -> str:
    """The batch as NDJSON, its frames in the order they came."""
    vehicle = json.dumps(batch.vehicle_id)
    return "".join(f'{{"vehicle_id":{vehicle},{frame.as_json()}}}\n' for frame in batch.frames)


def body(batch: Batch) -> bytes:
    """The batch as a request's body, to be sent with `HEADERS`."""
    return gzip.compress(lines(batch).encode(), _LEVEL, mtime=0)
