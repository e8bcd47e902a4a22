"""A CAN bus that outlives who listens to it: a small socketcand server, and a sender that never pauses.

The protocol is that of https://github.com/linux-can/socketcand, as far as python-can's interface of that name needs it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

_TICK_S: Final = 0.02
_SETTLE_S: Final = 0.2
"""Between the handshake and the first frame: the client reads an answer as whatever has come."""


class Bus:
    """Frame `n` carries n in its eight bytes. One listener at a time; what nobody hears is gone, as on a wire.

    Attributes:
        port: where it listens, on 127.0.0.1.
        sent: frames so far, heard or not.
        heard: for each listener the numbers it was sent, as `[first, end)`; the last one grows.
    """

    def __init__(self, rate: float) -> None:
        self.port = 0
        self.sent = 0
        self.heard: list[tuple[int, int]] = []
        self._rate = rate
        self._listener: asyncio.StreamWriter | None = None
        self._connections: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._sender: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and begin to send."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sender = asyncio.create_task(self._send())

    async def stop(self) -> None:
        """Send no more."""
        if self._sender is not None:
            self._sender.cancel()
        self.hang_up()
        for connection in self._connections:
            connection.close()
        if self._server is not None:
            self._server.close()

    def hang_up(self) -> None:
        """The listener is about to end: what comes from now on it does not hear."""
        self._listener = None

    async def listened_to(self) -> None:
        """Wait until somebody hears it."""
        while self._listener is None:
            await asyncio.sleep(_TICK_S)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            for answer in (b"< hi >", b"< ok >", b"< ok >"):
                if answer != b"< hi >":
                    await reader.readuntil(b">")
                writer.write(answer)
                await writer.drain()
            await asyncio.sleep(_SETTLE_S)
            self.heard.append((self.sent, self.sent))
            self._listener = writer

    async def _send(self) -> None:
        began, before = time.monotonic(), self.sent
        while True:
            await asyncio.sleep(_TICK_S)
            due = before + int((time.monotonic() - began) * self._rate)
            numbers, self.sent = range(self.sent, due), due
            if self._listener is not None:
                at = time.time()
                text = "".join(f"< frame {0x100 + n % 16:03X} {at:.6f} {n:016X} >" for n in numbers)
                self._listener.write(text.encode())
                self.heard[-1] = (self.heard[-1][0], due)
