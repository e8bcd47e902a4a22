"""Vehicles whose clocks are wrong for a while."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.fault import Fault


@dataclass(slots=True)
class Clocks:
    """How wrong the clocks of the skewed vehicles are at the moment, in µs."""

    skew_us: int = 0


class ClockSkew(Fault):
    """Frames that come an hour early or a day late, of some vehicles; all others go on as before."""

    lasts_s = 4.0

    def __init__(self, name: str, clocks: Clocks, skew_us: int) -> None:
        self.name = f"clock-{name}"
        self._clocks = clocks
        self._skew_us = skew_us

    async def inject(self, rng: random.Random) -> None:
        """Set the clocks wrong, each time by a little more, so that no frame ever comes at another's time."""
        self._clocks.skew_us = self._skew_us + rng.randrange(1, 900_000_000)

    async def heal(self) -> None:
        """Set them right."""
        self._clocks.skew_us = 0
