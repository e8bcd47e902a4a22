"""A vehicle's values for the tests: speed, ignition and positions, stored in the real engine."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.writer import SIGNALS, Writer
from pipeline.frames.schema import TIMESTAMP
from pipeline.history.drive import Drive
from pipeline.history.settings import DriveSignals

SECOND = 1_000_000
START = 1_769_860_800 * SECOND
DRIVE = Drive.of(
    [
        {"message": "Wheels", "signal": "VehicleSpeed", "unit": "km/h"},
        {"message": "Position", "signal": "Latitude", "unit": "deg"},
        {"message": "Position", "signal": "Longitude", "unit": "deg"},
        {"message": "Body", "signal": "Ignition", "unit": ""},
    ],
    DriveSignals(),
)
"""Told by speed, with positions."""


def values(
    vehicle: str, message: str, signal: str, timestamp: NDArray[np.int64], value: NDArray[np.float64]
) -> pa.RecordBatch:
    """Rows of `SIGNALS` of one signal of one vehicle of the fleet `acme`."""

    def name(text: str) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(timestamp), np.int32)), pa.array([text]))

    return pa.RecordBatch.from_arrays(
        [
            name("acme"),
            name(vehicle),
            pa.array(timestamp.astype(np.int64)).cast(TIMESTAMP),
            name(message),
            name(signal),
            pa.array(value.astype(np.float64)),
        ],
        schema=SIGNALS,
    )


class Stored:
    """Stores batches, shuffled: the engine sorts."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._writer = Writer(warehouse)

    def __call__(self, *batches: pa.RecordBatch) -> None:
        for batch in batches:
            order = np.random.default_rng(batch.num_rows).permutation(batch.num_rows)
            self._writer.insert_signals(batch.take(pa.array(order)), str(uuid4()))

    def positions(
        self, vehicle: str, timestamp: NDArray[np.int64], latitude: NDArray[np.float64], longitude: NDArray[np.float64]
    ) -> None:
        self(
            values(vehicle, "Position", "Latitude", timestamp, latitude),
            values(vehicle, "Position", "Longitude", timestamp, longitude),
        )
