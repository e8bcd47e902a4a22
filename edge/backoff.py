"""How long to wait after a failure, and what a Retry-After header asks for."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_LONGEST_ASKED_S: Final = 3600.0


class Backoff:
    """Pauses that double from failure to failure, with chance in them so that a fleet does not come back as one.

    `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self, first_s: float = 0.5, longest_s: float = 60.0, chance: Callable[[], float] = random.random
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance
        self._failures = 0

    def pause_s(self, at_least_s: float = 0.0) -> float:
        """Seconds to wait after one more failure: between half and all of the doubled pause.

        Args:
            at_least_s: what the platform asked for. It is never cut short, and stretched by up to a quarter: a fleet
                that was refused together was told the same time.
        """
        pause = min(self._longest_s, self._first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return max(pause * (0.5 + 0.5 * self._chance()), at_least_s * (1.0 + 0.25 * self._chance()))

    def reset(self) -> None:
        """Begin again with the first pause, after a success."""
        self._failures = 0


def retry_after_s(value: str | None, now: datetime | None = None) -> float:
    """Seconds that a Retry-After header asks for, as a number or an HTTP date; at most an hour, and 0 without one."""
    if value is None:
        return 0.0
    if value.strip().isdecimal():
        return min(_LONGEST_ASKED_S, float(value))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        # What cannot be understood asks for nothing; the pause of the backoff stands.
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(_LONGEST_ASKED_S, max(0.0, (at - (now or datetime.now(UTC))).total_seconds()))
