"""Circuit breaker: stop asking a service that does not answer, and find out gently when it does again.

Source: M. Nygard, "Release It!" (2007), chapter 5, with a pause that doubles.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

FAILURES: Final = 3
"""Failures in a row that open a closed breaker: one may be chance."""
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 5.0
"""The service is asked at least this often, so data waits no longer than that after its return."""


class State(StrEnum):
    """Of a breaker."""

    CLOSED = "closed"
    """Calls go through."""
    OPEN = "open"
    """Calls are refused until the pause is over."""
    HALF_OPEN = "half-open"
    """One call is under way to find out."""


class CircuitBreaker:
    """Closed: everything is let through. Open: nothing, until a pause is over. Half-open: one call, to find out.

    `FAILURES` failures in a row open it. The call that is let through afterwards closes it by succeeding, or opens it
    again for twice the pause, up to the longest. Every call that `allows` let through must be followed by `succeeded`,
    `failed` or `trip`. O(1); not thread-safe: one caller at a time. A caller with several calls under way leaves out
    the failures of those that began before it opened; a success closes it whenever it comes.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        """Closed; `clock` gives seconds that never go back, the pauses lie between the first and the longest."""
        self._clock = clock
        self._failures = 0
        self._first_pause_s = self._pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """The state now."""
        if self._open_until is None:
            return State.CLOSED
        return State.HALF_OPEN if self._probing else State.OPEN

    def wait_s(self) -> float:
        """Seconds until a call is let through; 0 where one is now."""
        if self._open_until is None:
            return 0.0
        # Never more than the pause itself, which a sum of floats less one of its terms can be by a little.
        return min(max(0.0, self._open_until - self._clock()), self._pause_s)

    def allows(self) -> bool:
        """Whether a call may be made; one that may after a pause is the probe."""
        if self._open_until is None:
            return True
        if self._probing or self._clock() < self._open_until:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The call succeeded: close."""
        self._failures = 0
        self._pause_s = self._first_pause_s
        self._open_until = None
        self._probing = False

    def failed(self) -> None:
        """The call failed: open after a few in a row, or at once where it was the probe."""
        self._failures += 1
        if self._probing:
            self._pause_s = min(2 * self._pause_s, self._longest_pause_s)
        if self._probing or self._failures >= FAILURES:
            self._open_until = self._clock() + self._pause_s
        self._probing = False

    def trip(self) -> None:
        """The call failed, and its caller knows that the service is gone: open at once."""
        self._failures = FAILURES
        self.failed()
