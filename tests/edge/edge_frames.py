"""Frames and clocks for the tests of the vehicle's side."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from edge.frame import Frame
from edge.spool import Spool

START_S = 1_769_860_800.0


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


class Source:
    """Numbers frames as a listener does; what a frame holds follows from its numbers."""

    def __init__(self, spool: Spool, clock: Clock | None = None) -> None:
        self.spool = spool
        self.clock = clock or Clock()
        self.next = 0

    def make(self, count: int) -> list[Frame]:
        numbers = range(self.next, self.next + count)
        self.next += count
        return [self.frame(number) for number in numbers]

    def frame(self, sequence: int) -> Frame:
        session = self.spool.session
        data = (session * 1_000_003 + sequence).to_bytes(8, "little") * (sequence * 37 % 9)
        at_us = round(self.clock() * 1e6)
        return Frame(at_us, sequence * 101 % 0x20000000, sequence % 2 == 1, sequence % 256, data, session, sequence)

    def write(self, count: int) -> list[Frame]:
        frames = self.make(count)
        self.spool.write(frames)
        return frames


def numbers(frames: list[Frame]) -> list[tuple[int, int]]:
    return [(frame.session, frame.sequence) for frame in frames]


def as_object(frame: Frame, vehicle_id: str) -> dict[str, object]:
    """The JSON object that the platform is to get, by the contract and not by `Frame.as_json`."""
    return {
        "vehicle_id": vehicle_id,
        "timestamp": frame.timestamp_us,
        "arbitration_id": frame.arbitration_id,
        "is_extended": frame.is_extended,
        "channel": frame.channel,
        "session": frame.session,
        "sequence": frame.sequence,
        "data": frame.data.hex(),
    }


def parse(line: str) -> Frame:
    """The frame of an NDJSON line."""
    row = json.loads(line)
    return Frame(
        row["timestamp"],
        row["arbitration_id"],
        row["is_extended"],
        row["channel"],
        bytes.fromhex(row["data"]),
        row["session"],
        row["sequence"],
    )


def without_time(frame: Frame) -> Frame:
    return replace(frame, timestamp_us=0)
