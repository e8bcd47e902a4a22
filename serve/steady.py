"""A body must keep coming: what trickles for ever would hold memory, a place among the requests and a connection."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.types import Message, Receive

from serve.problems import ProblemError, too_slow

GRACE_S: Final = 20.0
"""Any body may take so long."""
MIN_BYTES_PER_S: Final = 1024
"""Beyond that, as many bytes must have come for each second."""


class SteadyBody:
    """`receive` of one HTTP request, which gives up on a body that does not keep the pace. O(1) a message."""

    __slots__ = ("_began", "_bytes", "_more", "_receive")

    def __init__(self, receive: Receive) -> None:
        """Count from now on."""
        self._receive = receive
        self._began = time.monotonic()
        self._bytes = 0
        self._more = True

    async def __call__(self) -> Message:
        """The next message; after the body's last one without a bound, since only the client's leaving comes then.

        Raises:
            ProblemError: 408, too little has come in the time since the request began.
        """
        if not self._more:
            return await self._receive()
        due = self._began + GRACE_S + self._bytes / MIN_BYTES_PER_S - time.monotonic()
        try:
            async with asyncio.timeout(due):
                message = await self._receive()
        except TimeoutError:
            raise ProblemError(
                too_slow(
                    f"{self._bytes:,} bytes of the body came in {time.monotonic() - self._began:.0f} s: beyond "
                    f"{GRACE_S:.0f} s, {MIN_BYTES_PER_S:,} bytes a second are the least. Send less at a time."
                )
            ) from None
        self._bytes += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        return message
