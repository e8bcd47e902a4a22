"""The decoder: a batch of frames in, columns of values out."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.decode.catalogue import Catalogue
from pipeline.decode.decoded import Decoded
from pipeline.decode.kernels import decode_frames
from pipeline.decode.matching import match_frames
from pipeline.decode.tables import LANES
from pipeline.frames.columns import FrameColumns
from pipeline.types import I32

_Element = TypeVar("_Element", bound=np.generic)


class Decoder:
    """Decodes frames against a catalogue.

    It owns its output buffers, which grow to the largest batch and are written anew by every call: fresh buffers
    would cost several times the decoding. So use one decoder in one thread at a time, and be done with one result,
    or copy it, before the next call.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        """Take a copy of the catalogue's tables; buffers come with the first batch."""
        self.catalogue = catalogue
        self._tables = catalogue.tables.owned()
        self._message = np.empty(0, np.int32)
        self._row = np.empty(0, np.int32)
        self._signal = np.empty(0, np.int32)
        self._value = np.empty(0, np.float64)

    def decode(self, frames: FrameColumns, profile: I32 | None = None) -> Decoded:
        """Decode `n` frames. O(n + values), the GIL released.

        Every signal that the frame's data holds wholly is given, in the arithmetic of cantools and Python: with data
        longer than the message the rest is ignored, with shorter data the signals beyond its end are counted, and an
        unknown multiplexer value gives the signals that do not depend on it.

        Args:
            frames: the batch.
            profile: int32[n], each row's profile as `Catalogue.profile_index` gives it; None = all "default". Frames
                of a profile that does not exist match nothing.
        """
        n = len(frames)
        if profile is not None and len(profile) != n:
            raise ValueError(f"{len(profile)} profiles for {n} frames")
        tables = self._tables
        self._message = _grown(self._message, n)
        message = self._message[:n]
        bound, unmatched = match_frames(
            tables.slot_key,
            tables.slot_message,
            tables.profile_has_pgn,
            tables.message_bound,
            _input(frames.arbitration_id, np.uint32),
            _input(frames.is_extended, np.bool_),
            _ALL_DEFAULT if profile is None else _input(profile, np.int32),
            message,
        )
        self._row = _grown(self._row, bound + LANES)
        self._signal = _grown(self._signal, bound + LANES)
        self._value = _grown(self._value, bound + LANES)
        written, truncated, unknown = decode_frames(
            tables,
            message,
            _input(frames.offsets, np.int32),
            _input(frames.payload, np.uint8),
            self._row,
            self._signal,
            self._value,
        )
        return Decoded(
            message=message,
            row=self._row[:written],
            signal=self._signal[:written],
            value=self._value[:written],
            unmatched=unmatched,
            truncated=truncated,
            unknown_multiplexer=unknown,
        )

    def warm(self) -> None:
        """Compile the kernels, or load them from numba's cache, before the first frame waits for it."""
        self.decode(
            FrameColumns(
                vehicles=pa.array([], pa.utf8()),
                vehicle=np.empty(0, np.int32),
                timestamp=np.empty(0, np.int64),
                arbitration_id=np.empty(0, np.uint32),
                is_extended=np.empty(0, np.bool_),
                channel=np.empty(0, np.uint8),
                offsets=np.zeros(1, np.int32),
                payload=np.empty(0, np.uint8),
                counted=np.empty(0, np.bool_),
                session=np.empty(0, np.uint32),
                sequence=np.empty(0, np.uint64),
            )
        )


def _grown(buffer: NDArray[_Element], size: int) -> NDArray[_Element]:
    """`buffer`, or a new one of the next power of two where `size` does not fit; contents are not kept."""
    if size <= len(buffer):
        return buffer
    return np.empty(1 << (size - 1).bit_length(), buffer.dtype)


def _input(column: NDArray[_Element], dtype: type[_Element]) -> NDArray[_Element]:
    """`column` as the one array type the kernels are compiled for: contiguous, aligned, read-only. Mostly itself."""
    flags = column.flags
    if column.dtype == dtype and flags.c_contiguous and flags.aligned and not flags.writeable:
        return column
    column = np.require(column, dtype, ["C", "A"]).view()
    column.flags.writeable = False
    return column


_ALL_DEFAULT: Final = _input(np.empty(0, np.int32), np.int32)
