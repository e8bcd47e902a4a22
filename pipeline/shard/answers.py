"""Answers: what a shard says about its live state, as documents ready for JSON. Timestamps are microseconds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pipeline.decode.catalogue import Catalogue
from pipeline.shard.process import Processor
from pipeline.types import I32
from pipeline.vehicles import VehicleIndex

ONLINE_US: Final = 60_000_000
"""A vehicle is online if the gateway took in a frame of it in the last minute."""


def vehicle_list(processor: Processor, vehicles: VehicleIndex, fleet: str) -> list[dict[str, Any]]:
    """Every vehicle of a fleet with its last event time and its number of frames. O(vehicles)."""
    indices = _known(processor, vehicles.indices(fleet))
    seen = processor.latest.last_seen(indices).tolist()
    frames = processor.latest.frames(indices).tolist()
    received = processor.last_received[indices].tolist()
    return [
        {"vehicle_id": vehicles.name(i), "last_seen": s, "last_received": r, "frames": n}
        for i, s, r, n in zip(indices.tolist(), seen, received, frames, strict=True)
    ]


def online_count(processor: Processor, vehicles: VehicleIndex, fleet: str, now_us: int) -> int:
    """Vehicles of a fleet heard from within `ONLINE_US`."""
    indices = _known(processor, vehicles.indices(fleet))
    return int(np.count_nonzero(processor.last_received[indices] > now_us - ONLINE_US))


def latest_of(
    processor: Processor, vehicles: VehicleIndex, catalogue: Catalogue, fleet: str, vehicle_id: str
) -> dict[str, Any] | None:
    """Latest value and current window of every signal of a vehicle; None for a vehicle the fleet never sent."""
    index = vehicles.of(fleet, vehicle_id)
    if index is None or index >= len(processor.last_received):
        return None
    series = processor.series.of_vehicle(index)
    timestamps, values = processor.latest.of(series)
    windows = processor.windows.aggregate(series)
    signals = []
    for i, signal in enumerate(processor.series.series_signal[series].tolist()):
        if timestamps[i] == np.iinfo(np.int64).min:
            continue
        info = catalogue.signals[signal]
        count = int(windows.count[i])
        window = {
            "end": int(windows.end[i]),
            "count": count,
            "mean": float(windows.mean[i]),
            "std": float(windows.std[i]),
            "min": float(windows.min[i]),
            "max": float(windows.max[i]),
            "last": float(windows.last[i]),
        }
        signals.append(
            {
                "message": info.message_name,
                "signal": info.name,
                "value": float(values[i]),
                "unit": info.unit,
                "minimum": info.minimum,
                "maximum": info.maximum,
                "timestamp": int(timestamps[i]),
                "window": window if count else None,
            }
        )
    only = np.array([index], np.int32)
    return {
        "vehicle_id": vehicle_id,
        "last_seen": int(processor.latest.last_seen(only)[0]),
        "frames": int(processor.latest.frames(only)[0]),
        "signals": sorted(signals, key=lambda s: (s["message"], s["signal"])),
    }


def _known(processor: Processor, indices: I32) -> I32:
    """Without vehicles whose first frame is committed but not yet processed."""
    return indices[indices < len(processor.last_received)]
