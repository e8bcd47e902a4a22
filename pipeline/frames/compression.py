"""Undo a body's Content-Encoding without ever holding more than the bound allows."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from pipeline.errors import BodyError, BodyTooLarge, UnknownContentType

_CODECS: Final = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
_FIRST_READ: Final = 1 << 16
_USUAL_RATIO: Final = 8


def decompress(body: bytes | memoryview, content_encoding: str | None, limit: int) -> bytes | memoryview:
    """The plain bytes of a body encoded with gzip, zstd or nothing ("identity", "" or None).

    Several gzip members or zstd frames one after another count as one stream. A bomb costs `limit` + 1 bytes:
    output is read piece by piece and reading stops there. O(output).

    Raises:
        BodyTooLarge: the plain body exceeds `limit` bytes.
        BodyError: truncated or damaged data.
        UnknownContentType: another encoding, or several.
    """
    encoding = (content_encoding or "identity").strip().lower()
    if encoding in {"identity", ""}:
        if len(body) > limit:
            raise BodyTooLarge(f"the body has {len(body)} bytes, {limit} are allowed: send it in smaller parts")
        return body
    codec = _CODECS.get(encoding)
    if codec is None:
        raise UnknownContentType(f"Content-Encoding {content_encoding!r} is not known: use gzip, zstd or none")
    if not len(body):
        raise BodyError(f"the body is empty, which is no {codec} data")
    try:
        pieces = _read(pa.CompressedInputStream(pa.BufferReader(body), codec), len(body), limit)
    except (OSError, pa.ArrowException) as error:
        raise BodyError(f"the body is not readable {codec} data: {error}") from error
    return memoryview(pieces[0]) if len(pieces) == 1 else b"".join(pieces)


def _read(stream: pa.CompressedInputStream, compressed: int, limit: int) -> list[pa.Buffer]:
    pieces: list[pa.Buffer] = []
    total = 0
    size = max(_FIRST_READ, _USUAL_RATIO * compressed)
    while True:
        size = min(size, limit + 1 - total)
        piece = stream.read_buffer(size)
        total += piece.size
        if total > limit:
            raise BodyTooLarge(f"the body decompresses to more than {limit} bytes: send it in smaller parts")
        pieces.append(piece)
        # Only a read that returns nothing proves the end: a short one may have stopped at a member's border.
        if piece.size == 0:
            return pieces[:-1] if len(pieces) > 1 else pieces
