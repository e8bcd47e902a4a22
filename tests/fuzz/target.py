"""What a fuzz target is, and where each one lives."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from random import Random
from typing import Final


class Target(ABC):
    """One part of the front door: makes inputs, and tries one.

    An input is bytes alone, so that whatever it does to the process, it can be kept and tried again.

    Attributes:
        seconds: the most CPU time that one input may take.
        megabytes: the most by which one input may raise the process's memory.
        hang_s: wall time after which an input counts as one that never ends.
        contained: whether the platform does the same in a process whose end is an answer like any other. An input that
            ends the process, or has to be ended with it, is told then, and breaks no promise.
    """

    seconds: float = 2.0
    megabytes: int = 192
    hang_s: float = 60.0
    contained: bool = False

    @abstractmethod
    def make(self, random: Random) -> bytes:
        """An input, the same for the same state of `random`."""

    @abstractmethod
    def attempt(self, body: bytes) -> None:
        """Try an input; raises where it is answered in a way that is not promised."""

    def close(self) -> None:  # noqa: B027 (most targets hold nothing)
        """Let go of files and the like."""


class BrokenPromise(AssertionError):
    """An input was answered in a way that the contract does not know; the cause is the fault, where there is one."""


TARGETS: Final[dict[str, str]] = {
    "arrow": "tests.fuzz.arrow_target:ArrowTarget",
    "json": "tests.fuzz.json_target:JsonTarget",
    "ndjson": "tests.fuzz.json_target:NdjsonTarget",
    "letters": "tests.fuzz.json_target:LetterTarget",
    "packed": "tests.fuzz.packed_target:PackedTarget",
    "logs": "tests.fuzz.log_target:LogTarget",
    "times": "tests.fuzz.time_target:TimeTarget",
    "keys": "tests.fuzz.key_target:KeyTarget",
    "http": "tests.fuzz.http_target:HttpTarget",
    "openapi": "tests.fuzz.openapi_target:OpenApiTarget",
}
"""Name to `module:class`: a process that tries one target loads no other."""


def target_of(name: str) -> Target:
    """The target of a name in `TARGETS`, or of a `module:class` of its own."""
    module, _, kind = TARGETS.get(name, name).partition(":")
    made: Target = getattr(importlib.import_module(module), kind)()
    return made
