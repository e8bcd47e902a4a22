"""A TCP proxy that breaks on demand: what stands between the platform and ClickHouse during chaos."""

from __future__ import annotations

import asyncio
from typing import Final

_CHUNK: Final = 64 << 10


class TcpProxy:
    """Carries bytes between one port and `target`; lives in one event loop.

    Attributes:
        target: host and port of connections to come.
        port: where it listens, the same for its whole life; 0 before `start`.
        break_after: reset a connection that carries more bytes than this in one direction; None: never.
        bytes_per_s: carry at most so much in each direction of a connection; None: no bound.
    """

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1") -> None:
        self.target = target
        self._host = host
        self.port = 0
        self.break_after: int | None = None
        self.bytes_per_s: float | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[_Connection, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Listen on `host`; on a free port the first time."""
        self._server = await asyncio.start_server(self._accept, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Reset what is open; connections to come are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        await asyncio.gather(*self._connections.values())

    def reset(self) -> None:
        """Reset every open connection."""
        for connection in list(self._connections):
            connection.reset()

    async def heal(self) -> None:
        """Carry everything again."""
        self.break_after = self.bytes_per_s = None
        if self._server is None:
            await self.start()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections[connection] = asyncio.ensure_future(connection.carry())
        self._connections[connection].add_done_callback(lambda _: self._connections.pop(connection))


class _Connection:
    """One client, and the connection to the target that belongs to it."""

    def __init__(self, proxy: TcpProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writers = [writer]

    async def carry(self) -> None:
        """Carry both directions until both have ended, or one breaks."""
        try:
            reader, writer = await asyncio.open_connection(*self._proxy.target)
            self._writers.append(writer)
            await asyncio.gather(self._direction(self._reader, writer), self._direction(reader, self._writers[0]))
        except OSError:
            pass  # a side is gone; the other learns of it below
        finally:
            self.reset()

    def reset(self) -> None:
        """End both sides at once, whatever is on its way."""
        for writer in self._writers:
            writer.transport.abort()

    async def _direction(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried = 0
        while chunk := await reader.read(_CHUNK):
            limit = self._proxy.break_after
            carried = 0 if limit is None else carried + len(chunk)
            if limit is not None and carried > limit:
                raise ConnectionResetError
            if self._proxy.bytes_per_s is not None:
                await asyncio.sleep(len(chunk) / self._proxy.bytes_per_s)
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
