"""An event loop whose time passes only where everything waits: seconds of a test cost microseconds, and no chance."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_LONGEST_S = 86_400.0


class _Skipping(selectors.SelectSelector):
    """Does not wait: lets the loop's time jump to the next timer instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for something that no timer brings"
            self.now += max(0.0, timeout)
            assert self.now < _LONGEST_S, "a story that does not end"
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its clock, `time`, starts at 0."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """As `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
