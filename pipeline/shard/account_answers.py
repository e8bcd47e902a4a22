"""Account answers: what a shard says about its ledger and its sequence gaps, as documents ready for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.shard.shard import Shard


def ledger_by_hour(shard: Shard, fleet: str, start: int, end: int) -> dict[str, Any]:
    """A fleet's ledger with its hours `start <= hour < end`, in hours since the epoch, and what its sessions lack.

    Returns:
        What `Ledger.by_hour` gives, with `frames_missing`, and `rollups_waiting`: whether the rollups lack values that
        are stored; and `forgetting`: whether rows are being removed. O(hours kept + vehicles of the fleet).
    """
    with shard.lock:
        missing = shard.gaps.missing(shard.vehicles.indices(fleet))
        by_hour = shard.ledger.by_hour(fleet, start, end)
        forgetting = shard.is_forgetting(fleet)
    return by_hour | {
        "frames_missing": missing,
        "rollups_waiting": shard.rollups_waiting,
        "forgetting": forgetting,
    }


def gaps_of(shard: Shard, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
    """What every session of a vehicle lacks, the current one first; None for a vehicle the fleet never sent."""
    with shard.lock:
        index = shard.vehicles.of(fleet, vehicle_id)
        if index is None:
            return None
        found = shard.gaps.of(index)
    return {"vehicle_id": vehicle_id, "missing": found.missing} | asdict(found)
