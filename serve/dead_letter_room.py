"""Whether a fleet's dead letters have room for more: asked before a request with bad rows is taken in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pipeline.errors import DeadLettersFull
from serve.platform import IntakePlatform

_log: Final = logging.getLogger("canfleet.serve")

FRESH_S: Final = 2.0
"""What is known of a fleet is asked for again when it is older, and when somebody wants to know."""
WAIT_S: Final = 1.0
"""How long a request waits for that; then it goes by what was known before."""
RETRY_AFTER_S: Final = 30.0
"""Somebody has to make room: trying again sooner is of no use."""
ALARM_AT: Final = 0.8
"""Part of the bound at which the first warning is logged."""
WATCH_S: Final = 15.0
"""How often a fleet past that mark is counted again, whether or not somebody asks, so that the alarm ends too."""


@dataclass(slots=True)
class _Fleet:
    """What this replica knows of one fleet.

    Attributes:
        stored: rows in ClickHouse when it last said; None until it does. While it is away they cannot change.
        unstored: rows in the journals that ClickHouse lacks.
        let_in: rows that this replica let in since it asked.
        asked_at: monotonic seconds.
        asking: the question under way.
        told: whether a question was answered yet.
        level: the last alarm: 0 for none, 1 past `ALARM_AT`, 2 full.
        watching: counts it again and again while there is one.
    """

    stored: int | None = None
    unstored: int = 0
    let_in: int = 0
    asked_at: float = float("-inf")
    asking: asyncio.Task[None] | None = None
    told: bool = False
    level: int = 0
    watching: asyncio.Task[None] | None = None

    @property
    def held(self) -> int:
        return (self.stored or 0) + self.unstored + self.let_in


class DeadLetterRoom:
    """Counts each fleet's dead letters against `dead_letters.max_rows`, from an answer that may be `FRESH_S` old."""

    def __init__(self, platform: IntakePlatform, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet; `clock` gives seconds."""
        self._platform = platform
        self._clock = clock
        self._fleets: dict[str, _Fleet] = {}
        self._max = platform.config.dead_letters.max_rows

    async def admit(self, fleet: str, rows: int) -> None:
        """Let a request with `rows` bad rows pass, and log an alarm where it brings the fleet past a mark.

        Raises:
            DeadLettersFull: the fleet would hold more than the bound.
        """
        known = await self._known(fleet)
        fits = known.held + rows <= self._max
        if fits:
            known.let_in += rows
        self._alarm(fleet, known, refused=not fits)
        if not fits:
            raise DeadLettersFull(
                f"fleet `{fleet}` holds {known.held:,} dead letters of at most {self._max:,}, and this request has "
                f"{rows:,} bad rows: mend and send those waiting with `canfleet dlq replay`, or drop them with "
                "`canfleet dlq purge`; requests without bad rows are accepted",
                RETRY_AFTER_S,
            )

    async def state(self, fleet: str) -> dict[str, Any]:
        """For the status: held (None while ClickHouse has not told), max, full."""
        known = await self._known(fleet)
        held = None if known.stored is None else known.held
        return {"held": held, "max": self._max, "full": known.held >= self._max}

    def filled(self) -> dict[str, float]:
        """The part of the bound that each fleet takes, as far as it was counted. For any thread."""
        return {fleet: known.held / self._max for fleet, known in list(self._fleets.items())}

    async def _known(self, fleet: str) -> _Fleet:
        known = self._fleets.setdefault(fleet, _Fleet())
        if known.asking is None or (known.asking.done() and self._clock() - known.asked_at >= FRESH_S):
            known.asked_at = self._clock()
            known.asking = asyncio.create_task(self._ask(fleet, known))
            await asyncio.wait({known.asking}, timeout=WAIT_S)
        elif not known.told and not known.asking.done():
            await asyncio.wait({known.asking}, timeout=WAIT_S)
        return known

    async def _ask(self, fleet: str, known: _Fleet) -> None:
        before = known.let_in
        try:
            stored, unstored = await self._platform.dead_letters(fleet)
        except Exception as error:  # noqa: BLE001 (a shard that is away refuses the request itself; the bound stays)
            _log.warning("the dead letters of fleet %s could not be counted: %s", fleet, error)
            return
        known.stored = known.stored if stored is None else stored
        known.unstored = unstored
        known.told = True
        known.let_in -= before

    def _alarm(self, fleet: str, known: _Fleet, *, refused: bool) -> None:
        level = 2 if refused or known.held >= self._max else 1 if known.held >= ALARM_AT * self._max else 0
        if level > known.level:
            words = "are full: requests with bad rows are refused" if level == 2 else "are nearly full"
            _log.warning("the dead letters of fleet %s %s (%d of %d)", fleet, words, known.held, self._max)
        known.level = level
        if level and (known.watching is None or known.watching.done()):
            known.watching = asyncio.create_task(self._watch(fleet, known))

    async def _watch(self, fleet: str, known: _Fleet) -> None:
        while known.level:
            await asyncio.sleep(WATCH_S)
            self._alarm(fleet, await self._known(fleet), refused=False)
