"""Readings: a shard's gauges, from counts that it keeps anyway."""

from __future__ import annotations

from typing import Final

from pipeline import metrics
from pipeline.breaker import State
from pipeline.metrics import Metric
from pipeline.shard.shard import Shard

NEUTRAL: Final = {metrics.WAREHOUSE_UP: 1.0, metrics.JOURNAL_ROOM: float(1 << 62)}
"""What a gauge says of a shard that is no longer held here, where that is not 0: nothing that alarms, or adds up."""


def readings(shard: Shard) -> list[tuple[Metric, tuple[str, ...], float]]:
    """Every gauge of a shard with the values of its labels. O(fleets + vehicles)."""
    status = shard.status()
    with shard.lock:
        tallies = {fleet: tally.as_dict() for fleet, tally in shard.ledger.fleets().items()}
        missing = {fleet: shard.gaps.missing(shard.vehicles.indices(fleet)) for fleet in tallies}
    number = str(shard.number)
    return [
        *((metric, (number,), float(status[field])) for field, metric in metrics.OF_STATUS.items()),
        (metrics.WAREHOUSE_UP, (number,), float(status["warehouse_error"] is None)),
        (metrics.BREAKER_OPEN, (number,), float(status["warehouse_breaker"] != State.CLOSED)),
        *((metrics.MISSING, (number, fleet), count) for fleet, count in missing.items()),
        *(
            (metric, (number, fleet), counts[name])
            for fleet, counts in tallies.items()
            for name, metric in metrics.LEDGER.items()
        ),
    ]
