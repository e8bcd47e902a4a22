"""Simulated fleets with vehicles of their own for every user of every process, so that no two share an identity."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from simulator.body import Body, bodies
from simulator.fleet import Fleet
from simulator.injections import Injections

ANOMALIES: Final = Injections(anomalies=0.1)
"""So that readers have something to hear of. No frame is sent twice on purpose: the ledger must add up."""


def new_fleet(name: str, vehicles: int, hz: float, start_us: int, seed: int) -> Fleet:
    """A fleet that begins to drive at `start_us`, whose vehicles are `load-NAME-00000` and so on.

    Raises:
        ConfigError: a number makes no sense.
    """
    fleet = Fleet(vehicles, hz, seed, injections=ANOMALIES, start_us=start_us)
    fleet.vehicle_ids = pa.array([f"load-{name}-{number:05d}" for number in range(vehicles)], pa.utf8())
    return fleet


def drives(fleet: Fleet, drive_s: float) -> list[Body]:
    """A request for each vehicle of a fleet that has not begun: `drive_s` of frames, in order of their time."""
    batch = fleet.tick(fleet.start_us + round(drive_s * 1e6))
    vehicle = batch.column("vehicle_id").indices.to_numpy()
    order = np.argsort(vehicle, kind="stable")
    ends = np.cumsum(np.bincount(vehicle, minlength=len(fleet.vehicle_ids)))
    ordered = batch.take(pa.array(order))
    made: list[Body] = []
    for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        made += bodies(ordered.slice(begin, end - begin), max(1, end - begin), zstd=True)
    return made
