"""Points in time: the kernel that reads them in bodies, the parameters of queries, and spans."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Final

import numpy as np

from pipeline.errors import CanfleetError
from pipeline.frames.rfc3339 import parse_rfc3339
from serve.moments import as_datetime, moment, span
from tests.fuzz.mutation import mutated
from tests.fuzz.target import BrokenPromise, Target

_SEEDS: Final = (
    b"2026-01-31T12:00:00Z",
    b"2026-01-31t12:00:00.000123456+05:30",
    b"0000-01-01 00:00:00-23:59",
    b"9999-12-31T23:59:60.9Z",
    b"2024-02-29T00:00:00Z",
    b"2026-W05-6T12:00:00Z",
    b"20260131T120000.5+0530",
    b"1769860800000000",
    b"-1",
    b"500ms",
    b"1.5h",
    "٢٠٢٦-٠١-٣١T١٢:٠٠:٠٠Z".encode(),
    "１２".encode(),
)
_RANGE_US: Final = 400_000_000 * 1_000_000 * 1_000


class TimeTarget(Target):
    """Reads text as time, wherever callers may write it."""

    def make(self, random: Random) -> bytes:
        """A time that is right, or nearly."""
        seed = random.choice(_SEEDS)
        return mutated(seed, random, _SEEDS) if random.random() < 0.9 else seed

    def attempt(self, body: bytes) -> None:
        """Every reader gives a time within its range, or refuses."""
        text = np.frombuffer(body, np.uint8)
        good, microseconds = parse_rfc3339(text, 0, len(text))
        if good and abs(microseconds) > _RANGE_US:
            raise BrokenPromise(f"{body!r} is read as {microseconds}")
        for written in (body.decode("latin-1"), body.decode("utf-8", "replace")):
            with suppress(CanfleetError):
                at = moment(written, "from")
                if at is not None:
                    as_datetime(at).isoformat()
            with suppress(CanfleetError):
                span(written, "step")
