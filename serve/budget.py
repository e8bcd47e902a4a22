"""A bound on the bytes of request bodies that one replica holds at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import Overloaded


class ByteBudget:
    """Counts bytes in use; all on one event loop, so it needs no lock. O(1)."""

    def __init__(self, total: int) -> None:
        """Allow `total` bytes at a time."""
        self.total = total
        self.used = 0

    @contextmanager
    def hold(self, n_bytes: int) -> Iterator[None]:
        """Reserve `n_bytes` while the block runs; a lone request always fits.

        Raises:
            Overloaded: they would not fit beside what is held already.
        """
        if self.used and self.used + n_bytes > self.total:
            raise Overloaded(
                f"requests of {self.used:,} bytes are being read, the bound is {self.total:,}: try again in a second"
            )
        self.used += n_bytes
        try:
            yield
        finally:
            self.used -= n_bytes
