"""A bound on the bytes of request bodies that one replica holds at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import Overloaded


class ByteBudget:
    """Counts bytes in use; all on one event loop, so it needs no lock. O(1).

    The lane of a request is known only when its body has been read. So every body may use the reserve while it is
    read, and only critical ones stay in it: however many others wait for their commit, a critical one is read.
    """

    def __init__(self, total: int, reserve: int = 0) -> None:
        """Allow `total` bytes at a time, and `reserve` more to those that do not call `Held.leave_reserve`."""
        self.total = total
        self.reserve = reserve
        self.used = 0

    @contextmanager
    def hold(self, n_bytes: int) -> Iterator[Held]:
        """Reserve `n_bytes` while the block runs; a lone request always fits.

        Raises:
            Overloaded: they would not fit beside what is held already.
        """
        self.check(self.used, n_bytes, self.total + self.reserve)
        self.used += n_bytes
        try:
            yield Held(self, n_bytes)
        finally:
            self.used -= n_bytes

    @staticmethod
    def check(others: int, n_bytes: int, bound: int) -> None:
        """Raise Overloaded where `n_bytes` do not fit beside `others`."""
        if others and others + n_bytes > bound:
            raise Overloaded(
                f"requests of {others:,} bytes are being read, the bound is {bound:,}: try again in a second"
            )


class Held:
    """The bytes one request holds."""

    def __init__(self, budget: ByteBudget, n_bytes: int) -> None:
        """Made by `ByteBudget.hold`."""
        self._budget = budget
        self._n_bytes = n_bytes

    def leave_reserve(self) -> None:
        """Hold on only where it fits without the reserve.

        Raises:
            Overloaded: it does not.
        """
        budget = self._budget
        budget.check(budget.used - self._n_bytes, self._n_bytes, budget.total)
