"""Live state: what is known of vehicles, frames and anomalies now, and the answers about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from pipeline.config import CanfleetConfig
from pipeline.decode.catalogue import Catalogue
from pipeline.gaps.sequence_gaps import SequenceGaps
from pipeline.shard import answers
from pipeline.shard.anomaly_log import Anomaly, AnomalyLog
from pipeline.shard.ledger import Ledger
from pipeline.shard.positions import Positions
from pipeline.shard.process import Processor
from pipeline.shard.rate import Rate
from pipeline.vehicles import VehicleIndex


def wall_clock_us() -> int:
    """Now, in microseconds; the only clock of the shard, used for receipts and never for results."""
    return time.time_ns() // 1000


class LiveState:
    """The part of a shard that one lock guards: a batch holds it for milliseconds, readers for less.

    Attributes:
        lock: held by whoever reads or changes the rest.
        vehicles, processor, anomaly_log, ledger, gaps, rate: see their classes.
    """

    def __init__(self, config: CanfleetConfig, catalogue: Catalogue, clock: Callable[[], int]) -> None:
        """Know nothing yet."""
        self._catalogue = catalogue
        self._clock = clock
        self.lock = threading.Lock()
        self.vehicles = VehicleIndex()
        self.processor = Processor(config, catalogue, self.vehicles)
        self.anomaly_log = AnomalyLog()
        self.ledger = Ledger()
        self.gaps = SequenceGaps()
        self.rate = Rate()
        self._positions = Positions(catalogue, config.history.signals)

    def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """See `answers.latest_of`."""
        with self.lock:
            return answers.latest_of(self.processor, self.vehicles, self._catalogue, fleet, vehicle_id)

    def vehicle_list(self, fleet: str) -> list[dict[str, Any]]:
        """See `answers.vehicle_list`."""
        with self.lock:
            return answers.vehicle_list(self.processor, self.vehicles, fleet)

    def positions(self, fleet: str) -> dict[str, Any]:
        """See `Positions.of_fleet`."""
        with self.lock:
            return self._positions.of_fleet(self.processor, self.vehicles, fleet)

    def summary(self, fleet: str) -> dict[str, Any]:
        """The shard's part of the fleet in numbers."""
        now = self._clock()
        with self.lock:
            return {
                "vehicles": len(self.vehicles.indices(fleet)),
                "vehicles_online": answers.online_count(self.processor, self.vehicles, fleet, now),
                "frames_per_second": self.rate.per_second(now, fleet),
                "anomalies": self.anomaly_log.by_kind(fleet),
                "anomalies_open": self.anomaly_log.open_count(fleet),
                "frames_missing": self.gaps.missing(self.vehicles.indices(fleet)),
                "ledger": self.ledger.of(fleet).as_dict(),
            }

    def frames_per_second(self) -> float:
        """Frames of all fleets that are processed a second at present."""
        now = self._clock()
        with self.lock:
            return self.rate.total_per_second(now)

    def unstored_dead_letters(self, fleet: str) -> int:
        """Dead letters of a fleet that are in the journal and not yet in ClickHouse."""
        with self.lock:
            return self.ledger.of(fleet).dead_letters_pending

    def anomalies(
        self, fleet: str, vehicle_id: str | None, kind: str | None, start: int | None, end: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """Live anomalies of a fleet, newest change first; `start <= timestamp < end`."""

        def matches(anomaly: Anomaly) -> bool:
            return (
                (vehicle_id is None or anomaly.vehicle_id == vehicle_id)
                and (kind is None or anomaly.kind == kind)
                and (start is None or anomaly.timestamp >= start)
                and (end is None or anomaly.timestamp < end)
            )

        with self.lock:
            return [anomaly.as_dict() for anomaly in self.anomaly_log.find(fleet, matches, limit)]

    def anomalies_since(self, cursor: int) -> tuple[int, list[dict[str, Any]]]:
        """Changes after `cursor`, and the newest cursor."""
        with self.lock:
            newest = self.anomaly_log.cursor
            changed = self.anomaly_log.since(cursor)
            return newest, [anomaly.as_dict() for anomaly in changed]
