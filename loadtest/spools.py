"""What vehicles have gathered and not sent yet, as NDJSON lines. One request of a vehicle is under way at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

_BOOLEANS: Final = (b"false", b"true")


@dataclass(frozen=True, slots=True)
class Taken:
    """Frames of one vehicle on their way: the body, how many they are, and since when they could have been sent."""

    body: bytes
    frames: int
    ready_s: float


class Spools:
    """The spools of `vehicles` vehicles, each of which is ready to send once it holds `enough` frames.

    The first request of each vehicle is shorter, by a tenth of them after the other, so that they do not all send at
    one time ever after.
    """

    def __init__(self, vehicles: int, enough: int, most: int) -> None:
        """Requests have `most` frames at most."""
        self._lines: list[list[bytes]] = [[] for _ in range(vehicles)]
        self._wanted = [1 + number % enough for number in range(vehicles)]
        self._ready_s: list[float | None] = [None] * vehicles
        self._under_way = [False] * vehicles
        self._enough = enough
        self._most = most

    def add(self, batch: pa.RecordBatch, now_s: float) -> None:
        """Spool the frames of a fleet's batch. O(frames), in Python."""
        for vehicle, line in ndjson_lines(batch):
            lines = self._lines[vehicle]
            lines.append(line)
            if len(lines) == self._wanted[vehicle]:
                self._ready_s[vehicle] = now_s

    def release(self, now_s: float) -> int:
        """The connection is back: whoever has anything is ready to send it; how many these are."""
        waiting = [number for number, lines in enumerate(self._lines) if lines]
        for number in waiting:
            self._ready_s[number] = now_s
        return len(waiting)

    def ready(self) -> list[int]:
        """Vehicles that may send now."""
        both = enumerate(zip(self._ready_s, self._under_way, strict=True))
        return [number for number, (since, under_way) in both if since is not None and not under_way]

    def take(self, vehicle: int, now_s: float) -> Taken | None:
        """The oldest frames of a vehicle that is ready, which is under way until `finished`; None if it is not."""
        since = self._ready_s[vehicle]
        if since is None:
            return None
        lines = self._lines[vehicle]
        sent, self._lines[vehicle] = lines[: self._most], lines[self._most :]
        self._wanted[vehicle] = self._enough
        self._ready_s[vehicle] = now_s if len(self._lines[vehicle]) >= self._enough else None
        self._under_way[vehicle] = True
        return Taken(b"".join(sent), len(sent), since)

    def finished(self, vehicle: int) -> None:
        """Its request was acknowledged, or given up."""
        self._under_way[vehicle] = False


def ndjson_lines(batch: pa.RecordBatch) -> Iterator[tuple[int, bytes]]:
    """The number of the vehicle and the NDJSON line of each frame of a fleet's batch."""
    ids = [name.encode() for name in batch.column("vehicle_id").dictionary.to_pylist()]
    for vehicle, at, arbitration_id, data, extended, session, sequence in zip(
        batch.column("vehicle_id").indices.to_pylist(),
        batch.column("timestamp").cast(pa.int64()).to_pylist(),
        batch.column("arbitration_id").to_pylist(),
        batch.column("data").to_pylist(),
        batch.column("is_extended").to_pylist(),
        batch.column("session").to_pylist(),
        batch.column("sequence").to_pylist(),
        strict=True,
    ):
        yield (
            vehicle,
            b'{"vehicle_id":"%b","timestamp":%d,"arbitration_id":%d,"data":"%b","is_extended":%b,"session":%d,"sequence":%d}\n'
            % (ids[vehicle], at, arbitration_id, data.hex().encode(), _BOOLEANS[extended], session, sequence),
        )
