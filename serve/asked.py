"""What a caller asks of the past: which range, and in which form the answer should come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from pipeline.frames.body import ARROW
from serve.moments import moment
from serve.problems import ProblemError, bad_request

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class AskedRange:
    """A range of event time, microseconds.

    Attributes:
        since, until: [since, until).
        given: what the caller gave of them, which names the question: `now` never comes again.
    """

    since: int
    until: int
    given: tuple[int | None, int | None]


def asked_range(
    start: str | None, end: str | None, *, default_us: int = HOUR_US, most_us: int | None = None
) -> AskedRange:
    """The range of `from` and `to`: up to now, and as long as `default_us`, where they are absent.

    Raises:
        ProblemError: 400, one is no moment, they are the wrong way round, or farther apart than `most_us`.
    """
    given = moment(start, "from"), moment(end, "to")
    until = time.time_ns() // 1000 if given[1] is None else given[1]
    since = max(0, until - default_us) if given[0] is None else given[0]
    if since >= until:
        raise ProblemError(bad_request("`from` must lie before `to`"))
    if most_us is not None and until - since > most_us:
        raise ProblemError(bad_request(f"`from` and `to` may lie {most_us // DAY_US} days apart here: ask for less"))
    return AskedRange(since, until, given)


def wants_arrow(request: Request) -> bool:
    """Whether the caller names Arrow's stream format in `Accept`; else the answer is JSON."""
    return ARROW in request.headers.get("accept", "")
