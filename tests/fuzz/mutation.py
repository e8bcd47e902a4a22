"""Damage to bytes that is likely to reach past the first check: lengths, offsets, borders, and pieces of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

EDGES: Final = tuple(
    sorted(
        {0, 1, 2, 3, 4, 7, 8, 16, 64, 100, 127, 128, 255, 256, 1000, 4096, 65535, 65536}
        | {(1 << bits) + step for bits in (15, 16, 24, 31, 32, 40, 48, 62, 63, 64) for step in (-2, -1, 0, 1)}
    )
)
"""Numbers at which lengths and offsets go wrong; negative ones are among them, as two's complement."""

_BYTES: Final = (0, 1, 9, 10, 13, 32, 34, 44, 58, 91, 92, 93, 123, 125, 127, 128, 192, 224, 255)
_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?")


def mutated(body: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """The body with one to a dozen changes; `others` lend the pieces that are spliced in."""
    work = bytearray(body)
    for _ in range(min(12, 1 + int(random.expovariate(0.6)))):
        if not work:
            work += random.randbytes(1 + random.randrange(16))
        random.choice(_CHANGES)(work, random, others)
    return bytes(work)


def put_word(work: bytearray, random: Random, start: int, stop: int) -> None:
    """Put an integer of 2, 4 or 8 bytes that lies aligned in `work[start:stop]` at an edge, or near what it was."""
    width = random.choice((2, 4, 4, 8, 8))
    places = (stop - start) // width
    if places < 1:
        return
    at = start + width * random.randrange(places)
    old = int.from_bytes(work[at : at + width], "little")
    new = random.choice((random.choice(EDGES), old + 1, old - 1, old + 8, old - 8, 2 * old, old // 2, -old, ~old))
    work[at : at + width] = (new % (1 << 8 * width)).to_bytes(width, "little")


def _flip(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    work[random.randrange(len(work))] ^= 1 << random.randrange(8)


def _set(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    work[random.randrange(len(work))] = random.choice(_BYTES)


def _word(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    put_word(work, random, random.randrange(min(4, len(work))), len(work))


def _truncate(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    del work[random.randrange(len(work)) :]


def _delete(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    at = random.randrange(len(work))
    del work[at : at + 1 + int(random.expovariate(0.1))]


def _repeat(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    at = random.randrange(len(work))
    piece = work[at : at + 1 + int(random.expovariate(0.05))]
    work[at:at] = piece * random.choice((1, 1, 2, 50))


def _insert(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    at = random.randrange(len(work) + 1)
    work[at:at] = bytes([random.choice(_BYTES)]) * random.choice((1, 1, 1, 4, 300))


def _splice(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    other = random.choice(others) if others else bytes(work)
    start = random.randrange(len(other) + 1)
    piece = other[start : start + 1 + random.randrange(len(other) + 1)]
    at = random.randrange(len(work) + 1)
    work[at : at + random.choice((0, len(piece)))] = piece


def _number(work: bytearray, random: Random, others: Sequence[bytes]) -> None:
    start = random.randrange(len(work))
    found = _NUMBER.search(work, start)
    if found is not None:
        text = random.choice((str(random.choice(EDGES)), f"-{random.choice(EDGES)}", "1e400", "-0", "9" * 400, "0.1"))
        work[found.start() : found.end()] = text.encode()


_Change = Callable[[bytearray, Random, Sequence[bytes]], None]
_CHANGES: Final[tuple[_Change, ...]] = (
    _flip,
    _flip,
    _set,
    _set,
    _word,
    _word,
    _truncate,
    _delete,
    _repeat,
    _insert,
    _splice,
    _number,
)
