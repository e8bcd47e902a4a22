"""The proxy breaks what it is told to, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.chaos.proxy import TcpProxy

SENT = bytes(range(256)) * 4096


def through_proxy(drive: Callable[[TcpProxy], Awaitable[None]]) -> None:
    """Run `drive` with a proxy in front of a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        proxy = TcpProxy(server.sockets[0].getsockname()[:2])
        await proxy.start()
        try:
            await drive(proxy)
        finally:
            await proxy.refuse()
            server.close()

    asyncio.run(run())


async def echoed(proxy: TcpProxy, sent: bytes = SENT) -> bytes:
    """What comes back until the connection ends, in order or not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    got = b""
    try:
        writer.write(sent)
        writer.write_eof()
        while chunk := await reader.read(1 << 16):
            got += chunk
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return got


def test_bytes_arrive_as_they_were_sent_over_many_connections() -> None:
    async def drive(proxy: TcpProxy) -> None:
        assert await asyncio.gather(*(echoed(proxy, SENT + bytes([n])) for n in range(8))) == [
            SENT + bytes([n]) for n in range(8)
        ]

    through_proxy(drive)


def test_refusing_resets_what_is_open_and_keeps_the_port_for_later() -> None:
    async def drive(proxy: TcpProxy) -> None:
        port = proxy.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await proxy.refuse()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.transport.abort()
        await proxy.heal()
        assert proxy.port == port
        assert await echoed(proxy) == SENT

    through_proxy(drive)


def test_a_breaking_connection_gives_a_part_and_then_nothing() -> None:
    async def drive(proxy: TcpProxy) -> None:
        proxy.break_after = len(SENT) // 2
        assert len(await echoed(proxy)) < len(SENT)
        assert await echoed(proxy, b"short") == b"short"
        await proxy.heal()
        assert await echoed(proxy) == SENT

    through_proxy(drive)


def test_a_slow_connection_takes_its_time_and_loses_nothing() -> None:
    async def drive(proxy: TcpProxy) -> None:
        clock = asyncio.get_running_loop().time
        proxy.bytes_per_s = len(SENT) / 0.2
        began = clock()
        assert await echoed(proxy) == SENT
        # A lower bound only: it holds however busy the machine is.
        assert clock() - began >= 0.2

    through_proxy(drive)


def test_a_target_that_is_away_ends_the_connection() -> None:
    async def drive(proxy: TcpProxy) -> None:
        there = proxy.target
        await proxy.refuse()
        proxy.target = ("127.0.0.1", proxy.port)
        nobody = TcpProxy(proxy.target)
        await nobody.start()
        try:
            assert await echoed(nobody) == b""
        finally:
            await nobody.refuse()
        proxy.target = there
        await proxy.heal()
        assert await echoed(proxy) == SENT

    through_proxy(drive)
