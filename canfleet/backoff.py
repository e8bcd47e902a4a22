"""How long to wait before the platform is started again."""

from __future__ import annotations

from typing import Final

_LONGEST_S: Final = 30.0
_STEADY_S: Final = 60.0


class Backoff:
    """Pauses of 0, 1, 2, 4 … 30 seconds while runs are short; a run of a minute begins the row again."""

    def __init__(self) -> None:
        self._short_runs = 0

    def after(self, ran_s: float) -> float:
        """Seconds to wait after a run that lasted `ran_s`."""
        self._short_runs = 1 if ran_s >= _STEADY_S else self._short_runs + 1
        return 0.0 if self._short_runs == 1 else min(_LONGEST_S, 2.0 ** (self._short_runs - 2))
