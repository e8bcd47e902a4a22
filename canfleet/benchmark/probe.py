"""How soon a frame is in ClickHouse: a vehicle that sends ten frames a second, and a reader that waits for them."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import aiohttp
import pyarrow as pa

from pipeline.errors import CanfleetError
from pipeline.frames.schema import TIMESTAMP
from simulator.body import arrow_stream
from simulator.latency import LatencyHistogram
from simulator.sender import ARROW_STREAM

VEHICLE: Final = "bench-probe"
_EVERY_S: Final = 0.1
_POLL_S: Final = 0.05
_LAST_FRAMES_S: Final = 10.0
_QUERY: Final = """
SELECT sequence, toUnixTimestamp64Micro(received_at), toUnixTimestamp64Micro(timestamp) FROM canfleet.frames
WHERE vehicle_id = '{vehicle}' AND timestamp > fromUnixTimestamp64Micro({after}) AND session = {session}
ORDER BY timestamp FORMAT TSV
"""


class Probe:
    """Sends and looks for its own frames, on connections of its own.

    Attributes:
        sent: frames acknowledged as accepted.
        stored: those found in ClickHouse.
        latency: from the gateway's receipt to the answer of the query that found the frame.
        acknowledgement: from sending a request of one frame to its 202.
    """

    def __init__(self, url: str, key: str, clickhouse: str) -> None:
        """Send to `url` with `key`, and ask ClickHouse at `clickhouse` as user `default`."""
        self.sent = self.stored = 0
        self.latency = LatencyHistogram()
        self.acknowledgement = LatencyHistogram()
        self._url, self._key, self._clickhouse = url.rstrip("/"), key, clickhouse
        self._session_number = int(time.time())
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Send no more; `run` ends when the last frame was found, or ten seconds later."""
        self._stopped.set()

    async def run(self) -> None:
        """Send and look until stopped.

        Raises:
            CanfleetError: the platform refused a frame, or ClickHouse a query.
        """
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(self._send(session), self._look(session))

    def summary(self) -> dict[str, Any]:
        """Everything measured, latencies in milliseconds."""
        return {
            "sent": self.sent,
            "stored": self.stored,
            "stored_ms": self.latency.summary_ms(),
            "acknowledgement_ms": self.acknowledgement.summary_ms(),
        }

    async def _send(self, session: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": ARROW_STREAM}
        number = 0
        while not self._stopped.is_set():
            body = frame(time.time_ns() // 1000, self._session_number, number)
            number += 1
            began = time.perf_counter()
            async with session.post(f"{self._url}/v1/frames", data=body, headers=headers) as answer:
                text = await answer.text()
                if answer.status != 202:
                    raise CanfleetError(f"the probe's frame was answered {answer.status}: {text[:200]}")
            took = time.perf_counter() - began
            self.acknowledgement.record(took)
            self.sent += 1
            await asyncio.sleep(max(0.0, _EVERY_S - took))

    async def _look(self, session: aiohttp.ClientSession) -> None:
        after = time.time_ns() // 1000 - 1
        give_up = float("inf")
        while not self._stopped.is_set() or (self.stored < self.sent and time.monotonic() < give_up):
            if self._stopped.is_set() and give_up == float("inf"):
                give_up = time.monotonic() + _LAST_FRAMES_S
            query = _QUERY.format(vehicle=VEHICLE, after=after, session=self._session_number)
            async with session.post(self._clickhouse, data=query.encode()) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise CanfleetError(f"ClickHouse answered the probe's query {answer.status}: {text[:200]}")
            now = time.time_ns() // 1000
            for line in text.splitlines():
                _, received_at, timestamp = map(int, line.split("\t"))
                self.stored += 1
                self.latency.record((now - received_at) * 1e-6)
                after = max(after, timestamp)
            await asyncio.sleep(_POLL_S)


def frame(timestamp_us: int, session: int, sequence: int) -> bytes:
    """One counted frame of the probe as an Arrow stream; its id is in no database, so that it costs one anomaly."""
    batch = pa.RecordBatch.from_pydict(
        {
            "vehicle_id": pa.array([VEHICLE]),
            "timestamp": pa.array([timestamp_us], pa.int64()).cast(TIMESTAMP),
            "arbitration_id": pa.array([0x7E8], pa.uint32()),
            "data": pa.array([sequence.to_bytes(8)]),
            "session": pa.array([session], pa.uint32()),
            "sequence": pa.array([sequence], pa.uint64()),
        }
    )
    return arrow_stream(batch)
