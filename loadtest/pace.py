"""When users act: on a schedule that waits for no answers, with a tunnel now and then. Seconds, on any one clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Ticks:
    """Moments `period_s` apart, from `start_s` on."""

    start_s: float
    period_s: float

    @classmethod
    def of_user(cls, number: int, now_s: float, period_s: float) -> Ticks:
        """Those of the `number`th user, spread over the period evenly however many users there are."""
        return cls(now_s + period_s * (number * _GOLDEN % 1.0), period_s)

    def after(self, now_s: float) -> float:
        """The first moment later than `now_s`; those missed are skipped."""
        return self.start_s + self.period_s * max(0, math.floor((now_s - self.start_s) / self.period_s) + 1)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Out in the open for `open_s`, then without a connection for `away_s`, and so on; seconds since the start.

    Without `away_s` there is no tunnel.
    """

    open_s: float
    away_s: float

    def back_at(self, at_s: float) -> float | None:
        """When the connection comes back, if it is away at `at_s`."""
        if self.away_s <= 0:
            return None
        cycle = self.open_s + self.away_s
        number, within = divmod(at_s, cycle)
        return (number + 1) * cycle if within >= self.open_s else None
