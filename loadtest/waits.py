"""How long a client waits before it tries again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from simulator.sender import Retry

AGAIN: Final = frozenset({0, 408, 429, 500, 502, 503, 504})
"""Statuses after which trying again may help; 0 is no answer."""


class Waits:
    """The waits of one request: as long as the server asks for at least, and growing pauses, half of them chance.

    Chance comes on top of `Retry-After`, so that clients who were refused together do not come back together.
    """

    def __init__(self, retry: Retry, now_s: float, chance: Callable[[], float] = random.random) -> None:
        """Count from `now_s`; `chance` gives numbers in [0, 1)."""
        self._retry = retry
        self._give_up_s = now_s + retry.give_up_s
        self._pause_s = retry.first_s
        self._chance = chance

    def after(self, status: int, retry_after: str | None, now_s: float) -> float | None:
        """Seconds to wait after an answer of `status`; None where it is no use, or too late."""
        if status not in AGAIN:
            return None
        wait = asked_for_s(retry_after) + self._pause_s * (0.5 + 0.5 * self._chance())
        self._pause_s = min(2 * self._pause_s, self._retry.longest_s)
        return None if now_s + wait > self._give_up_s else wait


def asked_for_s(retry_after: str | None) -> float:
    """Seconds that a `Retry-After` asks for; 0 without one, or where it is no number, as the platform's always is."""
    try:
        return max(0.0, float(retry_after or 0))
    except ValueError:
        return 0.0
