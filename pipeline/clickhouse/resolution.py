"""Which step, and which table, answers a range of time with a bounded number of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_POINTS: Final = 2_000
"""Of all signals in one answer, raw values or buckets."""

MINUTE: Final = 60_000_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_STEPS: Final = (
    *(1_000 * n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(1_000_000 * n for n in (1, 2, 5, 10, 15, 30)),
    *(MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(HOUR * n for n in (1, 2, 3, 6, 12)),
)
"""Steps that people read easily, in microseconds; beyond them whole days."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a range is answered.

    Attributes:
        source: `signals`, `signals_1m` or `signals_1h`.
        step: microseconds a bucket; a multiple of the source's own.
    """

    source: str
    step: int


def resolution(start: int, end: int, step: int | None, most: int = MAX_POINTS) -> Resolution:
    """Choose for the range [start, end), all in microseconds.

    Without a step, the smallest easily read one that gives at most `most` buckets. A given step is raised where
    it would give more, and rounded up to the source's own.
    """
    least = max(1, -(-(end - start) // most))
    if step is None:
        step = next((known for known in _STEPS if known >= least), -(-least // DAY) * DAY)
    step = max(step, least)
    if step >= HOUR:
        return Resolution("signals_1h", -(-step // HOUR) * HOUR)
    if step >= MINUTE:
        return Resolution("signals_1m", -(-step // MINUTE) * MINUTE)
    return Resolution("signals", step)


def in_words(step: int) -> str:
    """A step as people write it, such as `10s`, `5m` or `1h`."""
    for unit, word in ((HOUR, "h"), (MINUTE, "m"), (1_000_000, "s"), (1_000, "ms")):
        if step % unit == 0:
            return f"{step // unit}{word}"
    return f"{step}us"
