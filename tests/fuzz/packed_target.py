"""Compressed bodies: gzip and zstd, whole, truncated, joined, and bombs."""

from __future__ import annotations

import gzip
from random import Random
from typing import Final

import zstandard

from pipeline.frames.body import ARROW, JSON, NDJSON
from tests.fuzz.arrow_streams import stream
from tests.fuzz.bodies import try_body
from tests.fuzz.json_text import json_list, ndjson
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target

_POOL: Final = 60
_BOMBS: Final = (b" " * (64 << 20), b"[" + b"0," * (8 << 20), b"\n" * (32 << 20))


class PackedTarget(Target):
    """Reads bodies under a Content-Encoding. An input is a line with encoding and type, then the body."""

    def __init__(self) -> None:
        """Pack a pool of bodies, the same each time."""
        random = Random(0)
        made = [(random.choice((gzip.compress, zstandard.compress)), *_plain(random)) for _ in range(_POOL)]
        self._pool = [(_name(pack), kind, pack(body)) for pack, kind, body in made]
        bombs = [(pack, bomb) for pack in (gzip.compress, zstandard.compress) for bomb in _BOMBS]
        self._bombs = [(_name(pack), NDJSON, pack(bomb)) for pack, bomb in bombs]

    def make(self, random: Random) -> bytes:
        """A packed body with its encoding, either of them perhaps wrong."""
        encoding, kind, body = random.choice(self._bombs if random.random() < 0.01 else self._pool)
        choice = random.random()
        if choice < 0.5:
            body = mutated(body, random, [random.choice(self._pool)[2]])
        elif choice < 0.6:
            body += random.choice(self._pool)[2] * random.choice((1, 20))
        elif choice < 0.7:
            body = body[: random.randrange(len(body) + 1)]
        elif choice < 0.8:
            # A body packed twice is noise to the reader, however well each layer unpacks.
            body = gzip.compress(body) if encoding == "gzip" else zstandard.compress(body)
        if random.random() < 0.05:
            encoding = random.choice(("gzip", "zstd", "x-gzip", "br", "identity", "GZIP ", "gzip, zstd", ""))
        return f"{encoding}\t{kind}\n".encode() + body

    def attempt(self, body: bytes) -> None:
        """Read it as the gateway does."""
        head, _, content = body.partition(b"\n")
        encoding, _, kind = head.decode("latin-1").partition("\t")
        try_body(content, kind, encoding)


def _plain(random: Random) -> tuple[str, bytes]:
    return random.choice(((NDJSON, ndjson(random)), (JSON, json_list(random)), (ARROW, stream(random))))


def _name(pack: object) -> str:
    return "gzip" if pack is gzip.compress else "zstd"
