"""Three lanes for requests, and how much of every bound each of them may use."""

from __future__ import annotations

from enum import IntEnum


class Lane(IntEnum):
    """How urgent a request is, most urgent first; `pipeline.lanes.classify` tells."""

    CRITICAL = 0
    LIVE = 1
    BACKFILL = 2


def allowance(lane: Lane, bound: int) -> int:
    """The part of `bound` up to which a request of `lane` is let in, whoever uses it already.

    Live requests may fill the bound, backfill half of it, and critical ones a quarter on top of it. So of two lanes
    the less urgent one is refused first, and can never take the room that the more urgent one needs.
    """
    match lane:
        case Lane.CRITICAL:
            return bound + bound // 4
        case Lane.LIVE:
            return bound
        case Lane.BACKFILL:
            return bound // 2


def fits(lane: Lane, used: int, more: int, bound: int) -> bool:
    """Whether `more` of `lane` fits beside `used`. What is alone always fits, so that no request waits for ever."""
    return not used or used + more <= allowance(lane, bound)
