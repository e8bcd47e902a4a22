"""Text bodies: JSON lists, NDJSON, and the payloads of dead letters, which are read the same way."""

from __future__ import annotations

from random import Random

import pyarrow as pa

from pipeline.errors import CanfleetError
from pipeline.frames.body import JSON, NDJSON
from pipeline.frames.letters import read_letters
from pipeline.frames.many import cut_body, read_many
from tests.fuzz.bodies import LIMITS, NOW_US, check_parsed, try_body
from tests.fuzz.json_text import json_list, ndjson, row
from tests.fuzz.mutation import mutated
from tests.fuzz.target import BrokenPromise, Target


class NdjsonTarget(Target):
    """Reads NDJSON alone, and next to a sound body as small requests are."""

    kind = NDJSON

    def make(self, random: Random) -> bytes:
        """Rows as they are, or damaged."""
        body = self._body(random)
        return mutated(body, random, [self._body(random)]) if random.random() < 0.6 else body

    def attempt(self, body: bytes) -> None:
        """Read it both ways; a sound neighbour must not suffer."""
        try_body(body, self.kind, None)
        _try_together(body, is_list=self.kind == JSON)

    def _body(self, random: Random) -> bytes:
        return ndjson(random)


class JsonTarget(NdjsonTarget):
    """Reads JSON lists."""

    kind = JSON

    def _body(self, random: Random) -> bytes:
        return json_list(random)


class LetterTarget(Target):
    """Reads payloads that an operator mended: one row each, and nothing has cut white space or found a row in it."""

    def make(self, random: Random) -> bytes:
        """A row with anything around it."""
        text = row(random).encode("utf-8", "surrogatepass")
        if random.random() < 0.3:
            return text[: random.choice((1, random.randrange(len(text) + 1)))] + random.choice((b" ", b"\t\n", b""))
        return mutated(text, random) if random.random() < 0.7 else text

    def attempt(self, body: bytes) -> None:
        """Read it as the payload of one dead letter, and as that of the second of two."""
        text = body.decode("utf-8", "replace")
        for payloads in ([text], ["{}", text]):
            ids = pa.array([str(i) for i in range(len(payloads))], pa.utf8())
            check_parsed(read_letters(ids, pa.array(payloads, pa.utf8()), LIMITS, NOW_US))


_NEIGHBOUR = b'{"vehicle_id":"n","timestamp":1789999990000000,"arbitration_id":1,"data":"00"}'


def _try_together(body: bytes, *, is_list: bool) -> None:
    cut, neighbour = cut_body(body, is_list=is_list), cut_body(_NEIGHBOUR, is_list=False)
    if cut is None or neighbour is None:
        return
    try:
        many = read_many([neighbour, cut, neighbour], LIMITS, NOW_US)
    except CanfleetError:
        return
    many.frames.validate(full=True)
    if many.faulty[0] or many.faulty[2] or (many.body == 0).sum() != 1 or (many.body == 2).sum() != 1:
        raise BrokenPromise("a sound body suffers from the one beside it")
