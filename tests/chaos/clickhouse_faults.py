"""Faults of a ClickHouse that stands behind the proxy: the process, and the way to it."""

from __future__ import annotations

import asyncio
import random
import signal

from tests.chaos.fault import Fault
from tests.chaos.proxy import TcpProxy
from tests.chaos.subject import Subject


class KillClickHouse(Fault):
    """SIGKILL of ClickHouse, which is started again after a while."""

    name = "kill-clickhouse"
    lasts_s = 1.0

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    async def inject(self, rng: random.Random) -> None:
        """Kill it."""
        await asyncio.to_thread(self._subject.clickhouse.kill)

    async def heal(self) -> None:
        """Start it."""
        await self._subject.start_clickhouse()


class StopClickHouse(Fault):
    """SIGSTOP and SIGCONT of ClickHouse: connections stay open and nothing answers."""

    name = "stop-clickhouse"
    lasts_s = 4.0

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    async def inject(self, rng: random.Random) -> None:
        """Stop it."""
        self._subject.clickhouse.process.send_signal(signal.SIGSTOP)

    async def heal(self) -> None:
        """Let it go on."""
        self._subject.clickhouse.process.send_signal(signal.SIGCONT)


class _ProxyFault(Fault):
    lasts_s = 5.0

    def __init__(self, proxy: TcpProxy) -> None:
        self._proxy = proxy

    async def heal(self) -> None:
        """Carry everything again."""
        await self._proxy.heal()


class Refused(_ProxyFault):
    """Connections are reset and refused: what a host without its server does."""

    name = "clickhouse-refused"

    async def inject(self, rng: random.Random) -> None:
        """Refuse."""
        await self._proxy.refuse()


class Broken(_ProxyFault):
    """Connections are reset in the middle of a request or an answer: what was sent may have arrived, or not."""

    name = "clickhouse-broken"

    async def inject(self, rng: random.Random) -> None:
        """Reset each connection after some bytes, from a few to those of a small insert."""
        self._proxy.break_after = int(10 ** rng.uniform(2, 6))


class Slow(_ProxyFault):
    """Bytes come slowly: what a network in trouble does."""

    name = "clickhouse-slow"

    async def inject(self, rng: random.Random) -> None:
        """Carry 30 to 300 KB/s a connection."""
        self._proxy.bytes_per_s = rng.uniform(30e3, 300e3)
