"""What decoding a batch of frames gives."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.types import F64, I32


@dataclass(frozen=True, slots=True)
class Decoded:
    """Values of `n` frames: m of them, in row order. The arrays are views that live until the decoder's next call.

    Attributes:
        message: int32[n], catalogue index of each frame's message, -1 = in no database.
        row: int32[m], ascending, the frame of each value.
        signal: int32[m], catalogue index of each value's signal.
        value: float64[m], physical value; NaN and infinity as the frame had them.
        unmatched: frames in no database.
        truncated: signals that were not given because the frame's data ends before they do.
        unknown_multiplexer: frames with a multiplexer value that the database does not know; their other signals
            were given.
    """

    message: I32
    row: I32
    signal: I32
    value: F64
    unmatched: int
    truncated: int
    unknown_multiplexer: int

    def __len__(self) -> int:
        """Values."""
        return len(self.row)
