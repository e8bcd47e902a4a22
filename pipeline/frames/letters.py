"""Dead letters as frames again: their payloads, read and checked like the rows of a body."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.frames.json_reader import read_texts
from pipeline.frames.limits import FrameLimits
from pipeline.frames.reasons import Reason
from pipeline.frames.validate import ParsedBody, validate

_LOST_BYTES: Final = "\ufffd"
"""What stands in a payload for bytes that were no text: such a row is not what was sent, and never guessed at."""


def read_letters(ids: pa.StringArray, payloads: pa.StringArray, limits: FrameLimits, now_us: int) -> ParsedBody:
    """The frames that n payloads, one row each, make now; one that makes none is named by its id. O(bytes).

    A payload is read as a line of NDJSON, whatever body its row came in: dead letters of Arrow bodies and of logs hold
    their row in that form. What no reader understands is refused as it was before.

    Args:
        ids: utf8[n].
        payloads: utf8[n].
        limits: the bounds of timestamps.
        now_us: the time of this attempt, microseconds since the epoch.

    Returns:
        The frames of the good rows in their order, and the others with the reason they have now; the column `payload`
        of those holds the id.
    """
    raw = read_texts(payloads)
    raw.fault[pc.match_substring(payloads, _LOST_BYTES).to_numpy(zero_copy_only=False)] = Reason.NOT_JSON
    return validate(replace(raw, text=lambda rows: ids.take(pa.array(rows))), limits, now_us)
