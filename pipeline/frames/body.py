"""Read a request body of frames: undo its encoding, read its format, check its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pipeline.errors import BodyTooLarge, UnknownContentType
from pipeline.frames.arrow_reader import read_arrow
from pipeline.frames.compression import decompress
from pipeline.frames.json_reader import read_json, read_ndjson
from pipeline.frames.limits import FrameLimits
from pipeline.frames.raw import RawFrames
from pipeline.frames.split import empty, from_ipc, to_ipc
from pipeline.frames.validate import ParsedBody, validate

__all__ = ["ARROW", "JSON", "NDJSON", "ParsedBody", "read_body", "warm"]

ARROW: Final = "application/vnd.apache.arrow.stream"
NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json"

_READERS: Final[dict[str, Callable[[bytes | memoryview, FrameLimits], RawFrames]]] = {
    ARROW: read_arrow,
    NDJSON: read_ndjson,
    JSON: read_json,
}


def read_body(
    body: bytes | memoryview,
    content_type: str | None,
    content_encoding: str | None,
    limits: FrameLimits,
    now_us: int,
) -> ParsedBody:
    """The good rows of a body and the rejected ones. O(bytes).

    Args:
        body: the bytes as received.
        content_type: the header's value; parameters such as `charset` are ignored.
        content_encoding: the header's value: gzip, zstd, identity or None.
        limits: bounds of bytes, rows and timestamps.
        now_us: the time of receipt, microseconds since the epoch.

    Raises:
        UnknownContentType: no reader for this type or encoding.
        BodyTooLarge: more bytes or rows than `limits` allow.
        BodyError: the body as a whole cannot be read.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    reader = _READERS.get(media_type)
    if reader is None:
        raise UnknownContentType(f"Content-Type {content_type!r} is not known: use one of {', '.join(_READERS)}")
    if len(body) > limits.max_body_bytes:
        raise BodyTooLarge(
            f"the body has {len(body)} bytes, {limits.max_body_bytes} are allowed: send it in smaller parts"
        )
    plain = decompress(body, content_encoding, limits.max_decompressed_bytes)
    return validate(reader(plain, limits), limits, now_us)


_SAMPLE: Final = (
    b'{"vehicle_id":"w","timestamp":"2020-01-01T00:00:00Z","arbitration_id":1,"data":"00","session":1,"sequence":1}'
)


def warm() -> None:
    """Compile, or load from their cache, all kernels that bodies need, so that the first request is a fast one."""
    limits = FrameLimits()
    now_us = limits.earliest_us
    bad = _SAMPLE.replace(b'"data":"00"', b'"data":"0"')
    parsed = read_body(_SAMPLE + b"\n" + bad, NDJSON, None, limits, 2 * now_us)
    read_body(b"[" + _SAMPLE + b"]", JSON, None, limits, 2 * now_us)
    stream = to_ipc(parsed.frames)
    read_body(memoryview(stream), ARROW, None, limits, now_us - 10 * 86_400_000_000)
    from_ipc(to_ipc(empty()))
