"""Hand-made streams for the detector: a list of (time, vehicle, message, values) becomes a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.anomalies.engine import AnomalyDetector, AnomalyEvents
from pipeline.anomalies.kinds import NAMES
from pipeline.anomalies.settings import AnomalySettings
from pipeline.frames.columns import FrameColumns

START_US = 1_700_000_000_000_000


@dataclass(frozen=True)
class Frame:
    """One frame; `values` are those of the message's signals in order, None where the frame has none of it."""

    seconds: float
    vehicle: int = 0
    message: int = 0
    values: tuple[float | None, ...] = ()
    arbitration_id: int | None = None
    channel: int = 0


class Feed:
    """A detector for a little database, with its own index of series."""

    def __init__(
        self,
        ranges: Sequence[Sequence[tuple[float, float]]],
        cycles_s: Sequence[float] | None = None,
        settings: AnomalySettings | None = None,
    ) -> None:
        flat = [pair for message in ranges for pair in message]
        self.first = np.concatenate([[0], np.cumsum([len(message) for message in ranges])])
        self.signals = len(flat)
        self.arguments = (
            np.array([low for low, _ in flat], np.float64),
            np.array([high for _, high in flat], np.float64),
            np.array([cycle * 1e6 for cycle in cycles_s or [0.0] * len(ranges)], np.int64),
            np.repeat(np.arange(len(ranges)), [len(message) for message in ranges]).astype(np.int32),
            [f"S{i - self.first[m]}" for m in range(len(ranges)) for i in range(self.first[m], self.first[m + 1])],
            [f"M{m}" for m in range(len(ranges)) for _ in ranges[m]],
            settings,
        )
        self.detector = AnomalyDetector(*self.arguments)

    def fresh(self) -> AnomalyDetector:
        return AnomalyDetector(*self.arguments)

    def give(self, frames: Sequence[Frame]) -> AnomalyEvents:
        row = [i for i, frame in enumerate(frames) for value in frame.values if value is not None]
        placed = [
            (frame.vehicle, int(self.first[frame.message]) + k, value)
            for frame in frames
            for k, value in enumerate(frame.values)
            if value is not None
        ]
        vehicle = np.array([frame.vehicle for frame in frames], np.int32)
        identifiers = [
            frame.arbitration_id if frame.arbitration_id is not None else 0x100 + frame.message for frame in frames
        ]
        return self.detector.observe(
            vehicle,
            columns(
                vehicle,
                np.array([START_US + round(frame.seconds * 1e6) for frame in frames], np.int64),
                np.array(identifiers, np.uint32),
                np.array([frame.channel for frame in frames], np.uint8),
            ),
            np.array([frame.message for frame in frames], np.int32),
            np.array(row, np.int32),
            np.array([signal for _, signal, _ in placed], np.int32),
            np.array([v * self.signals + signal for v, signal, _ in placed], np.int32),
            np.array([value for _, _, value in placed], np.float64),
        )


def columns(vehicle, timestamp, arbitration_id, channel=None) -> FrameColumns:
    """Frames without data: the detector reads none."""
    n = len(vehicle)
    return FrameColumns(
        vehicles=pa.array([], pa.utf8()),
        vehicle=vehicle,
        timestamp=timestamp,
        arbitration_id=arbitration_id,
        is_extended=arbitration_id > 0x7FF,
        channel=np.zeros(n, np.uint8) if channel is None else channel,
        offsets=np.zeros(n + 1, np.int32),
        payload=np.zeros(0, np.uint8),
        counted=np.zeros(n, np.bool_),
        session=np.zeros(n, np.uint32),
        sequence=np.zeros(n, np.uint64),
    )


def seen(events: AnomalyEvents) -> list[tuple[str, float, bool]]:
    """(kind, second, closed) of each event."""
    return [
        (NAMES[kind], round((at - START_US) / 1e6, 3), bool(closed))
        for kind, at, closed in zip(events.kind, events.timestamp, events.closed, strict=True)
    ]


def opened(events: AnomalyEvents) -> list[tuple[str, float]]:
    """(kind, second) of each opening."""
    return [(kind, at) for kind, at, closed in seen(events) if not closed]
