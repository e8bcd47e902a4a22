"""Answers that were given already: by question, for as long as they are likely to be true, within a bound of bytes.

How long an answer about the past stays true nobody knows: a vehicle may send yesterday's drive today. A range is
*closed* once the vehicle has been heard of from beyond its end, and its rows have had time to reach every table.
A closed range lives a tenth of the time since its end, the heuristic of RFC 9111, 4.2.2, an hour at most.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

SETTLING_US: Final = 120_000_000
"""Late frames, the insert and the rollups of a minute's values are over by then."""
OPEN_S: Final = 2.0
LIVE_S: Final = 0.5
"""For an answer from the live state of a whole fleet: many who look at one fleet cost one look."""
MOST_S: Final = 3_600.0
_TENTH: Final = 0.1
_OVERHEAD: Final = 1_000
"""Bytes that an answer costs beside its body: key, headers, places in two dictionaries."""


def life_s(end: int, now: int, newest: int | None = None) -> float:
    """Seconds for which an answer about a range is kept.

    Args:
        end: of the range, microseconds.
        now: this moment, likewise.
        newest: event time of the newest frame of what is asked about; None where that is not one vehicle.
    """
    heard_of = now if newest is None else min(now, newest)
    if end > heard_of - SETTLING_US:
        return OPEN_S
    return min(MOST_S, max(OPEN_S, (now - end) / 1e6 * _TENTH))


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """One answer as it goes out.

    Attributes:
        body: its bytes.
        media_type: what they are.
        etag: names the bytes, in quotes as a header has it.
    """

    body: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> CachedAnswer:
        """An answer with its name: 128 bits of BLAKE2b over the body."""
        return cls(body, media_type, f'"{blake2b(body, digest_size=16).hexdigest()}"')


class AnswerCache:
    """Answers by fleet and question, the least recently used one dropped first. O(1) a call but `forget`. One thread.

    Attributes:
        max_bytes: bound of all bodies with what they cost beside; 0 keeps none.
        bytes: in use.
        hits, misses: look-ups that found an answer, and those that did not.
    """

    def __init__(self, max_bytes: int, now: Callable[[], float] = time.monotonic) -> None:
        """Keep at most `max_bytes`; `now` is a clock in seconds."""
        self.max_bytes: Final = max_bytes
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.on_lookup: Callable[[bool], None] = lambda hit: None
        """Told of each look-up, whether it was a hit."""
        self._now = now
        self._kept: OrderedDict[tuple[str, Hashable], tuple[CachedAnswer, float]] = OrderedDict()
        self._forgotten: dict[str, int] = {}

    def __len__(self) -> int:
        """Answers that are kept, those whose life is over but that nobody has asked for included."""
        return len(self._kept)

    def get(self, fleet: str, question: Hashable) -> CachedAnswer | None:
        """The answer to a question, if it is there and its life is not over."""
        key = (fleet, question)
        kept = self._kept.get(key)
        if kept is not None and kept[1] <= self._now():
            self._drop(key)
            kept = None
        if kept is None:
            self.misses += 1
        else:
            self.hits += 1
            self._kept.move_to_end(key)
        self.on_lookup(kept is not None)
        return None if kept is None else kept[0]

    def generation(self, fleet: str) -> int:
        """Take this before an answer is made, and give it to `put`."""
        return self._forgotten.get(fleet, 0)

    def put(self, fleet: str, question: Hashable, answer: CachedAnswer, life_s: float, generation: int) -> None:
        """Keep an answer for `life_s` seconds, unless its fleet has forgotten something since `generation`."""
        size = _size(answer)
        if size > self.max_bytes or generation != self.generation(fleet):
            return
        key = (fleet, question)
        if key in self._kept:
            self._drop(key)
        while self.bytes + size > self.max_bytes:
            self._drop(next(iter(self._kept)))
        self._kept[key] = (answer, self._now() + life_s)
        self.bytes += size

    def forget(self, fleet: str) -> None:
        """Drop every answer of a fleet, and those being made. O(answers)."""
        self._forgotten[fleet] = self.generation(fleet) + 1
        for key in [key for key in self._kept if key[0] == fleet]:
            self._drop(key)

    def _drop(self, key: tuple[str, Hashable]) -> None:
        answer, _ = self._kept.pop(key)
        self.bytes -= _size(answer)


def _size(answer: CachedAnswer) -> int:
    return len(answer.body) + _OVERHEAD
