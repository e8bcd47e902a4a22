"""Arrow IPC bodies: streams of every layout with damaged lengths, offsets, indices, and messages out of place."""

from __future__ import annotations

from random import Random
from typing import Final

import pyarrow as pa

from pipeline.frames.body import ARROW
from tests.fuzz.arrow_streams import stream
from tests.fuzz.bodies import try_body
from tests.fuzz.mutation import mutated, put_word
from tests.fuzz.target import Target

_POOL: Final = 120
_END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_PREFIX: Final = 8


class ArrowTarget(Target):
    """Reads streams whose FlatBuffers mostly still verify, so that what is wrong is met by the code behind them."""

    def __init__(self) -> None:
        """Begin with a pool of sound streams, the same each time; it changes as inputs are made."""
        random = Random(0)
        self._pool = [_messages(stream(random)) for _ in range(_POOL)]

    def make(self, random: Random) -> bytes:
        """A stream of the pool, damaged in its messages or as a whole."""
        if random.random() < 0.03:
            self._pool[random.randrange(_POOL)] = _messages(stream(random))
        messages = [bytearray(message) for message in random.choice(self._pool)]
        kind = random.random()
        if kind < 0.25:
            whole = b"".join(messages) + _END
            return mutated(whole, random, [b"".join(random.choice(self._pool))])
        if kind < 0.45:
            _shuffle(messages, random, random.choice(self._pool))
        for _ in range(random.choice((0, 1, 1, 2, 3, 5))):
            _damage(random.choice(messages), random)
        return b"".join(messages) + random.choice((_END, _END, b""))

    def attempt(self, body: bytes) -> None:
        """Read it as the gateway does."""
        try_body(body, ARROW, None)


def _messages(whole: bytes) -> list[bytes]:
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(whole))
    try:
        return [message.serialize().to_pybytes() for message in reader]
    except OSError:
        # Types may nest deeper than Arrow writes without complaint and reads: then the whole is one piece.
        return [whole]


def _shuffle(messages: list[bytearray], random: Random, other: list[bytes]) -> None:
    """Put one message somewhere else: again, away, elsewhere, or out of another stream."""
    at = random.randrange(len(messages))
    match random.randrange(4):
        case 0:
            messages[at:at] = [bytearray(messages[at])] * random.choice((1, 2, 30))
        case 1 if len(messages) > 1:
            del messages[at]
        case 2:
            messages.insert(random.randrange(len(messages)), messages.pop(at))
        case _:
            messages.insert(at, bytearray(random.choice(other)))


def _damage(message: bytearray, random: Random) -> None:
    """Change integers of the message's metadata, where all its lengths are, or of its body, where the offsets are."""
    if len(message) <= _PREFIX:
        return
    metadata = _PREFIX + int.from_bytes(message[4:8], "little")
    if random.random() < 0.6 or metadata >= len(message):
        put_word(message, random, _PREFIX, min(metadata, len(message)))
    else:
        put_word(message, random, metadata, len(message))
