"""Content codings of ClickHouse's HTTP interface: bodies in, answers out."""

from __future__ import annotations

import zlib
from typing import Final, Literal

import pyarrow as pa

from pipeline.errors import BodyError, BodyTooLarge, UnknownContentType

_CODECS: Final[dict[str, Literal["gzip", "zstd", "lz4", "brotli"]]] = {
    "gzip": "gzip",
    "x-gzip": "gzip",
    "zstd": "zstd",
    "lz4": "lz4",
    "br": "brotli",
}
_PIECE: Final = 1 << 20
_SMALLEST_WORTH_IT: Final = 512


def decoded(body: list[bytes], coding: str, limit: int) -> list[bytes]:
    """Undo a Content-Encoding. O(output), never more than `limit` bytes of it and one piece.

    Raises:
        UnknownContentType: none of gzip, deflate, zstd, lz4, br, identity.
        BodyTooLarge: more than `limit` bytes come out.
        BodyError: the body is damaged or cut short.
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return body
    data = b"".join(body)
    if coding == "deflate":
        return _inflated(data, limit)
    codec = _CODECS.get(coding)
    if codec is None:
        raise UnknownContentType(f"Content-Encoding {coding!r} is not known: use gzip, deflate, zstd, lz4 or br")
    pieces: list[bytes] = []
    total = 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            while piece := stream.read(_PIECE):
                pieces.append(piece)
                total += len(piece)
                if total > limit:
                    raise _too_large(limit)
    except (OSError, pa.ArrowException) as error:
        raise BodyError(f"the body is not readable {coding} data: {error}") from error
    return pieces


def encoded(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    """Compress an answer with the first coding of `Accept-Encoding` that is known: (bytes, coding or None). O(n)."""
    if len(body) < _SMALLEST_WORTH_IT:
        return body, None
    for entry in accepted.lower().split(","):
        coding = entry.split(";")[0].strip()
        if coding == "zstd":
            return pa.Codec("zstd", compression_level=1).compress(body, asbytes=True), coding
        if coding == "lz4":
            return pa.Codec("lz4").compress(body, asbytes=True), coding
        if coding == "gzip":
            packer = zlib.compressobj(level=1, wbits=31)
            return packer.compress(body) + packer.flush(), coding
        if coding == "deflate":
            return zlib.compress(body, 1), coding
    return body, None


def _inflated(data: bytes, limit: int) -> list[bytes]:
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise BodyError(f"the body is not readable deflate data: {error}") from error
    if len(out) > limit:
        raise _too_large(limit)
    if not inflater.eof:
        raise BodyError("the body's deflate data are cut short")
    return [out]


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body decompresses to more than {limit} bytes: send it in smaller parts")
