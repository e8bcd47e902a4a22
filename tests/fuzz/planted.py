"""Targets with faults that are known, so that the search itself can be tested."""

from __future__ import annotations

import os
import time
from random import Random

from tests.fuzz.target import Target


class Planted(Target):
    """Its second input raises what it must not, and its third ends the process."""

    def __init__(self) -> None:
        """Have made no input yet."""
        self._made = 0

    def make(self, random: Random) -> bytes:
        """The next input."""
        self._made += 1
        return (b"fine", b"wrong", b"crash")[min(self._made, 3) - 1]

    def attempt(self, body: bytes) -> None:
        """Do as it says."""
        if body == b"wrong":
            raise KeyError(body)
        if body == b"crash":
            os.abort()


class Contained(Planted):
    """The same, where the platform has a process of its own for it."""

    contained = True


class Endless(Target):
    """An input of it never ends."""

    hang_s = 0.3

    def make(self, random: Random) -> bytes:
        """Always the same."""
        return b"for ever"

    def attempt(self, body: bytes) -> None:
        """Sleep far longer than any test."""
        time.sleep(600)
