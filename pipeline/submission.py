"""What one request hands to one shard, as bytes: sent by the gateway, stored by the journal, read back on replay.

A submission (version 1, little-endian, every part padded with zeros to 8 bytes so that Arrow reads it in place):

    header   4s "CFSB" · u16 version · u16 flags · i64 received_at · u32 frames · u32 dead letters
             u16 bytes of fleet · u16 of request id · u16 of traceparent · u16 zero
             u64 bytes of the dead letters' part · u64 of the frames' part                      48 bytes
    fleet, request id, traceparent, utf8, padded together
    dead letters, an Arrow IPC stream; nothing where there is none
    frames, an Arrow IPC stream; nothing where there is none

The frames stand last, so that a submission without them is a prefix of the one with them, under a new header.

An accepted record is a submission after duplicate detection:

    header   4s "CFAC" · u16 version · u16 flags · u32 rows of the masks · u32 accepted · u32 duplicates
             u32 dead letters                                                                   24 bytes
    one bit a row: kept; present where not all rows are kept, padded
    one bit a row: unverified; present where some row is, padded
    the submission, its frames left out where all are duplicates
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from pipeline.errors import JournalError
from pipeline.frames.schema import CANONICAL
from pipeline.tracing.parents import is_sampled
from pipeline.types import U8, Bools
from pipeline.verdicts import DUPLICATE, UNVERIFIED

Bytes: TypeAlias = bytes | bytearray | memoryview | pa.Buffer

_MAGIC: Final = b"CFSB"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<4sHHqIIHHHHQQ")
_HAS_TRACEPARENT: Final = 1
_VERIFY: Final = 2

_ACCEPTED_MAGIC: Final = b"CFAC"
_ACCEPTED_VERSION: Final = 1
_ACCEPTED: Final = struct.Struct("<4sHHIIII")
_HAS_KEPT: Final = 1
_HAS_UNVERIFIED: Final = 2

_COMPRESSED_FROM: Final = 16 << 10
_PLAIN: Final = pa.ipc.IpcWriteOptions()
_COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
"""Arrow names the compression in the stream, so a reader needs not be told."""

_NO_FRAMES: Final = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in CANONICAL], schema=CANONICAL)


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request hands to one shard.

    Attributes:
        fleet: whose frames these are.
        received_at: when the request came, microseconds since the epoch.
        request_id: names the request in logs.
        frames: batch of schema `CANONICAL`, good rows only, all of this shard; may have no rows.
        dead_letters: refused rows with columns stage, reason, payload (utf8); None where there is none.
        traceparent: the W3C trace context of the request, if it had one.
        verify: these frames may have been accepted without being stored, as dead letters that ClickHouse refused:
            those that look like duplicates are looked up in the warehouse instead of being dropped.
    """

    fleet: str
    received_at: int
    request_id: str
    frames: pa.RecordBatch
    dead_letters: pa.RecordBatch | None = None
    traceparent: str | None = None
    verify: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """The ledger line of one submission: received = accepted + duplicates + dead_lettered."""

    received: int
    accepted: int
    duplicates: int
    dead_lettered: int


@dataclass(frozen=True, slots=True)
class AcceptedRecord:
    """A submission as the journal keeps it, after duplicate detection.

    Attributes:
        submission: as it came; without frames where all of them were duplicates.
        kept: bool[n], the rows of `submission.frames` that are not duplicates; None where all are kept.
        unverified: bool[n], the kept rows to check against the warehouse before storing; None where there is none.
        counts: of the submission as it came.
    """

    submission: Submission
    kept: Bools | None
    unverified: Bools | None
    counts: Counts


class _Header(NamedTuple):
    """The submission's header, field by field as on the wire."""

    magic: bytes
    version: int
    flags: int
    received_at: int
    frames: int
    dead_letters: int
    fleet_bytes: int
    request_id_bytes: int
    traceparent_bytes: int
    zero: int
    dead_letters_bytes: int
    frames_bytes: int

    @property
    def texts(self) -> int:
        """Bytes of the three texts with their padding."""
        return _padded(self.fleet_bytes + self.request_id_bytes + self.traceparent_bytes)

    @property
    def size(self) -> int:
        """Bytes of the whole submission."""
        return _HEADER.size + self.texts + self.dead_letters_bytes + self.frames_bytes


def encode(submission: Submission) -> bytes:
    """The bytes of a submission. O(bytes), two copies.

    Raises:
        JournalError: the frames are not of schema `CANONICAL`, or a text is longer than 65,535 bytes.
    """
    if not submission.frames.schema.equals(CANONICAL):
        raise JournalError(f"submission {submission.request_id}: its frames have schema {submission.frames.schema}")
    texts = [text.encode() for text in (submission.fleet, submission.request_id, submission.traceparent or "")]
    if max(map(len, texts)) > 0xFFFF:
        raise JournalError(f"submission of fleet {submission.fleet[:64]}: a text is longer than 65,535 bytes")
    joined = b"".join(texts)
    dead_letters, frames = _stream(submission.dead_letters), _stream(submission.frames)
    header = _Header(
        _MAGIC,
        _VERSION,
        _HAS_TRACEPARENT * (submission.traceparent is not None) | _VERIFY * submission.verify,
        submission.received_at,
        submission.frames.num_rows,
        0 if submission.dead_letters is None else submission.dead_letters.num_rows,
        len(texts[0]),
        len(texts[1]),
        len(texts[2]),
        0,
        len(dead_letters),
        len(frames),
    )
    return b"".join([_HEADER.pack(*header), joined, bytes(header.texts - len(joined)), dead_letters, frames])


def decode(buffer: Bytes) -> Submission:
    """The submission in `buffer`, its batches views into it. O(1), about 40 µs.

    Raises:
        JournalError: these are not the whole bytes of a submission of this version.
    """
    view = memoryview(buffer).cast("B")
    header = _header(view)
    at, texts = _HEADER.size, []
    for length in (header.fleet_bytes, header.request_id_bytes, header.traceparent_bytes):
        texts.append(str(view[at : at + length], "utf-8"))
        at += length
    at = _HEADER.size + header.texts
    dead_letters = _batch(view[at : at + header.dead_letters_bytes])
    frames = _batch(view[at + header.dead_letters_bytes : header.size])
    return Submission(
        fleet=texts[0],
        received_at=header.received_at,
        request_id=texts[1],
        frames=_NO_FRAMES if frames is None else frames,
        dead_letters=dead_letters,
        traceparent=texts[2] if header.flags & _HAS_TRACEPARENT else None,
        verify=bool(header.flags & _VERIFY),
    )


def sampled_traceparent(buffer: Bytes) -> str | None:
    """The trace context of a submission whose spans are recorded; None for any other. O(1), a microsecond.

    Raises:
        JournalError: these are not the whole bytes of a submission of this version.
    """
    view = memoryview(buffer).cast("B")
    header = _header(view)
    if not header.flags & _HAS_TRACEPARENT:
        return None
    start = _HEADER.size + header.fleet_bytes + header.request_id_bytes
    text = str(view[start : start + header.traceparent_bytes], "ascii")
    return text if is_sampled(text) else None


def encode_accepted(submission_bytes: Bytes, verdicts: U8) -> list[Bytes]:
    """The journal record of a submission after duplicate detection, as buffers to append without joining them.

    Args:
        submission_bytes: from `encode`; not copied, not decoded.
        verdicts: uint8[n], one of `pipeline.verdicts` for each of its frames. O(n).

    Returns:
        The record's buffers. The submission's own bytes are among them, except that frames which are all duplicates
        are left out.

    Raises:
        JournalError: the bytes are no submission of this version, or the number of verdicts is not that of its frames.
    """
    view = memoryview(submission_bytes).cast("B")
    header = _header(view)
    if len(verdicts) != header.frames:
        raise JournalError(f"a submission of {header.frames} frames has {len(verdicts)} verdicts")
    duplicates = int(np.count_nonzero(verdicts == DUPLICATE))
    accepted = header.frames - duplicates
    parts: list[Bytes] = [view]
    masks: list[Bytes] = []
    rows = flags = 0
    if accepted == 0:
        without = header._replace(frames=0, frames_bytes=0)
        parts = [_HEADER.pack(*without), view[_HEADER.size : without.size]]
    else:
        unverified = verdicts == UNVERIFIED
        rows = header.frames
        if duplicates:
            flags |= _HAS_KEPT
            masks.append(_pack(verdicts != DUPLICATE))
        if unverified.any():
            flags |= _HAS_UNVERIFIED
            masks.append(_pack(unverified))
    head = _ACCEPTED.pack(_ACCEPTED_MAGIC, _ACCEPTED_VERSION, flags, rows, accepted, duplicates, header.dead_letters)
    return [head, *masks, *parts]


def decode_accepted(payload: Bytes) -> AcceptedRecord:
    """The accepted record in `payload`, its batches views into it. O(n) for the masks.

    Raises:
        JournalError: these are not the whole bytes of an accepted record of this version.
    """
    view = memoryview(payload).cast("B")
    _check(view, _ACCEPTED, _ACCEPTED_MAGIC, _ACCEPTED_VERSION, "accepted record")
    _, _, flags, rows, accepted, duplicates, dead_lettered = _ACCEPTED.unpack_from(view)
    at = _ACCEPTED.size
    masks: list[Bools | None] = [None, None]
    for i, flag in enumerate((_HAS_KEPT, _HAS_UNVERIFIED)):
        if flags & flag:
            masks[i] = _unpack(view[at:], rows)
            at += _padded((rows + 7) // 8)
    return AcceptedRecord(
        submission=decode(view[at:]),
        kept=masks[0],
        unverified=masks[1],
        counts=Counts(accepted + duplicates + dead_lettered, accepted, duplicates, dead_lettered),
    )


def _padded(length: int) -> int:
    return length + -length % 8


def _stream(batch: pa.RecordBatch | None) -> bytes | memoryview:
    """An Arrow IPC stream of one batch; nothing where it has no rows. Its length is a multiple of 8.

    5,000 frames are a third as long compressed, for a third of a millisecond each way: less to hand over, to sync, to
    keep while ClickHouse is away, and to read back. Small batches would not gain.
    """
    if batch is None or batch.num_rows == 0:
        return b""
    sink = pa.BufferOutputStream()
    options = _COMPRESSED if batch.nbytes >= _COMPRESSED_FROM else _PLAIN
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def _batch(view: memoryview) -> pa.RecordBatch | None:
    if not len(view):
        return None
    try:
        with pa.ipc.open_stream(pa.py_buffer(view)) as reader:
            return reader.read_next_batch()
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise JournalError(f"a submission's Arrow stream of {len(view)} bytes cannot be read: {error}") from error


def _check(view: memoryview, header: struct.Struct, magic: bytes, version: int, what: str) -> None:
    """Raise JournalError unless `view` begins with a header of this magic and version."""
    if len(view) < header.size or bytes(view[:4]) != magic:
        raise JournalError(f"{len(view)} bytes that begin with {bytes(view[:4])!r} are no {what}")
    found = int.from_bytes(view[4:6], "little")
    if found != version:
        raise JournalError(
            f"{what} of version {found}, this canfleet reads version {version}: use the one that wrote it"
        )


def _header(view: memoryview) -> _Header:
    _check(view, _HEADER, _MAGIC, _VERSION, "submission")
    header = _Header(*_HEADER.unpack_from(view))
    if header.size != len(view):
        raise JournalError(f"a submission of {header.size} bytes has come as {len(view)}")
    return header


def _pack(mask: Bools) -> bytes:
    packed = np.packbits(mask, bitorder="little").tobytes()
    return packed + bytes(_padded(len(packed)) - len(packed))


def _unpack(view: memoryview, rows: int) -> Bools:
    """bool[rows] from one bit a row."""
    packed = np.frombuffer(view, np.uint8, (rows + 7) // 8)
    return np.unpackbits(packed, count=rows, bitorder="little").view(np.bool_)
