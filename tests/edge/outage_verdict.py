"""What ClickHouse holds of a vehicle, against what the vehicle said it had taken."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

from pipeline.clickhouse.client import Warehouse

_ROWS: Final = """
SELECT session, sequence, reinterpretAsUInt64(reverse(data)) AS number,
    toUnixTimestamp64Micro(f.timestamp) AS at, toUnixTimestamp64Micro(f.received_at) AS received
FROM frames AS f WHERE vehicle_id = {vehicle:String}
"""
_BACKLOG_US: Final = 10_000_000
"""Frames that are older when they come are backlog: fresh ones leave the vehicle a second after they were taken."""

Taken = dict[tuple[int, int], int]
"""By session and sequence, the bus's number of a frame that the vehicle said it had taken."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of frames.

    Attributes:
        taken: said to be taken.
        stored: rows.
        lost: taken and not stored.
        doubled: rows beyond one for a session and sequence, or for a frame of the bus.
        changed: rows that are not the frame that was taken under their number, or that nobody sent.
        killed: for each kill the frames that the vehicle had heard before and that are not stored: those in memory.
        fresh_s: from the end of the cut to the first fresh frame that the platform took in.
        backlog_s: likewise to the last frame of the backlog.
        backlog: frames of the backlog, taken in by that many `requests`.
        against_order: requests that went before frames of the same life which were newer and had waited 10 s by then.
    """

    taken: int
    stored: int
    lost: int
    doubled: int
    changed: int
    killed: list[int]
    fresh_s: float
    backlog_s: float
    backlog: int
    requests: int
    against_order: int

    def faults(self) -> list[str]:
        """What is not as promised, empty where all is."""
        counts = {name: getattr(self, name) for name in ("lost", "doubled", "changed", "against_order")}
        return [f"{count} {name}" for name, count in counts.items() if count]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"faults": self.faults()}


def verdict(
    warehouse: Warehouse, vehicle: str, taken: Taken, heard: list[tuple[int, int]], lives: list[int], healed_us: int
) -> Verdict:
    """Compare everything.

    Args:
        warehouse: the platform's.
        vehicle: its id.
        taken: what it said.
        heard: the bus's numbers that each life of the vehicle was sent, as `[first, end)`.
        lives: when each life but the first began, µs since 1970.
        healed_us: when the cut ended, likewise.
    """
    table = warehouse.arrow(_ROWS, {"vehicle": vehicle})
    sessions, sequences, numbers, at, received = (column.to_pylist() for column in table.columns)
    ids = list(zip(sessions, sequences, strict=True))
    distinct, present = set(ids), set(numbers)
    wrong = sum(taken.get(one, number) != number for one, number in zip(ids, numbers, strict=True))
    strange = sum(not any(first <= number < end for first, end in heard) for number in present)
    batches: dict[int, list[int]] = {}
    for when, came in zip(at, received, strict=True):
        if came >= healed_us:
            batches.setdefault(came, []).append(when)
    newest = {came: max(times) for came, times in sorted(batches.items())}
    late = [came for came in newest if came - newest[came] > _BACKLOG_US]
    fresh = [came for came in newest if came - newest[came] <= _BACKLOG_US]
    overtaken = {
        before
        for before, after in combinations(newest, 2)
        if newest[before] < newest[after] < before - _BACKLOG_US and not any(before < life <= after for life in lives)
    }
    return Verdict(
        taken=len(taken),
        stored=len(ids),
        lost=len(taken.keys() - distinct),
        doubled=len(ids) - min(len(distinct), len(present)),
        changed=wrong + strange,
        killed=[len(set(range(first, end)) - present) for first, end in heard[:-1]],
        fresh_s=(min(fresh, default=healed_us) - healed_us) / 1e6,
        backlog_s=(max(late, default=healed_us) - healed_us) / 1e6,
        backlog=sum(len(batches[came]) for came in late),
        requests=len(late),
        against_order=len(overtaken),
    )
