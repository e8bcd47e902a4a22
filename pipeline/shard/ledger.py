"""The ledger: where every frame of a fleet went, counted from journal records so that a replay counts the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, TypeAlias

HOUR_US: Final = 3_600_000_000
HOURS_KEPT: Final = 31 * 24
"""Hours told apart for each fleet; what is older counts in the totals alone."""
UNKNOWN: Final = -1
"""The hour of counts that were written before there were hours; they go into the totals alone."""


@dataclass(slots=True)
class Tally:
    """Frame counts of one fleet; `received = accepted + duplicates + dead_lettered`.

    Attributes:
        received: rows that reached the shard.
        accepted: rows journaled for storing; late duplicates move from here to `duplicates` when they are found.
        duplicates: rows dropped because their identity was accepted before.
        dead_lettered: rows refused for their content, kept with a reason.
        stored: accepted rows that ClickHouse confirmed; `accepted = stored + pending`.
        dead_letters_stored: dead-lettered rows that ClickHouse confirmed.
        forgotten: stored rows that ClickHouse holds no more, since their vehicle was forgotten.
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    stored: int = 0
    dead_letters_stored: int = 0
    forgotten: int = 0

    @property
    def dead_letters_pending(self) -> int:
        """Dead letters on their way to ClickHouse."""
        return self.dead_lettered - self.dead_letters_stored

    @property
    def pending(self) -> int:
        """Accepted frames on their way to ClickHouse."""
        return self.accepted - self.stored

    def add(self, other: Tally) -> None:
        """Add `other` to this one, field by field."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def as_dict(self) -> dict[str, int]:
        """The counts with `pending`, as the API shows them."""
        counts = asdict(self) | {"pending": self.pending}
        del counts["dead_letters_stored"]
        return counts


Tallies: TypeAlias = dict[str, dict[int, Tally]]
"""By fleet and hour of receipt, in hours since the epoch (UTC)."""


def tally_of(tallies: Tallies, fleet: str, received_at: int) -> Tally:
    """The tally that frames received at `received_at`, in microseconds, count in; made where there is none."""
    return tallies.setdefault(fleet, {}).setdefault(received_at // HOUR_US, Tally())


def accepted_by_fleet(tallies: Tallies) -> dict[str, int]:
    """Accepted frames of each fleet, all hours together."""
    return {fleet: sum(tally.accepted for tally in hours.values()) for fleet, hours in tallies.items()}


def as_document(tallies: Tallies) -> dict[str, dict[str, dict[str, int]]]:
    """As JSON, for a journal record."""
    return {fleet: {str(hour): asdict(tally) for hour, tally in hours.items()} for fleet, hours in tallies.items()}


def from_document(document: Mapping[str, Mapping[str, Any]]) -> Tallies:
    """Read what `as_document` wrote, or a record from before there were hours: its counts go to hour `UNKNOWN`."""
    return {
        fleet: {UNKNOWN: _tally(hours)} if "received" in hours else _hours(hours) for fleet, hours in document.items()
    }


def _hours(document: Mapping[str, Mapping[str, int]]) -> dict[int, Tally]:
    return {int(hour): _tally(counts) for hour, counts in document.items()}


def _tally(counts: Mapping[str, int]) -> Tally:
    """Counts from before stored dead letters were counted: all but the newest were stored."""
    return Tally(**{"dead_letters_stored": counts["dead_lettered"], **counts})


@dataclass(slots=True)
class _FleetLedger:
    """One fleet's counts.

    Attributes:
        total: all there ever was.
        hours: the part of it that is told apart, by hour of receipt; forgetting an hour leaves the total alone.
        newest: the newest hour that came.
        complete_from: the first hour of which nothing is hidden in the total; None: the one after the next that comes.
    """

    total: Tally = field(default_factory=Tally)
    hours: dict[int, Tally] = field(default_factory=dict)
    newest: int = 0
    complete_from: int | None = 0

    def earlier(self) -> Tally:
        told_apart = {name: sum(getattr(tally, name) for tally in self.hours.values()) for name in asdict(self.total)}
        return Tally(**{name: count - told_apart[name] for name, count in asdict(self.total).items()})

    def add(self, hours: Mapping[int, Tally]) -> None:
        newest = max([self.newest, *hours])
        for hour, tally in hours.items():
            self.total.add(tally)
            if hour > newest - HOURS_KEPT and hour != UNKNOWN:
                self.hours.setdefault(hour, Tally()).add(tally)
        if newest > self.newest:
            self.newest = newest
            self.hours = {hour: tally for hour, tally in self.hours.items() if hour > newest - HOURS_KEPT}
            if self.complete_from is None:
                self.complete_from = newest + 1


def _restored(document: Mapping[str, Any]) -> _FleetLedger:
    hours = _hours(document["hours"])
    return _FleetLedger(_tally(document["total"]), hours, max(hours, default=0), document["complete_from"])


class Ledger:
    """Tallies by fleet and hour of receipt. Not thread-safe: the shard's lock guards it.

    A fleet costs at most `HOURS_KEPT` tallies. Hours are kept relative to the fleet's newest one, never to a clock, so
    that a replay forgets the same.
    """

    def __init__(self) -> None:
        self._by_fleet: dict[str, _FleetLedger] = {}

    def of(self, fleet: str) -> Tally:
        """The fleet's totals; zeros, not remembered, for a fleet never seen. O(1)."""
        known = self._by_fleet.get(fleet)
        return Tally() if known is None else known.total

    def fleets(self) -> dict[str, Tally]:
        """The totals of every fleet."""
        return {fleet: known.total for fleet, known in self._by_fleet.items()}

    def add(self, tallies: Mapping[str, Mapping[int, Tally]]) -> None:
        """Count what one journal record or one confirmed insert says. O(hours in it + hours kept)."""
        for fleet, hours in tallies.items():
            self._by_fleet.setdefault(fleet, _FleetLedger()).add(hours)

    def total(self) -> Tally:
        """All fleets together."""
        total = Tally()
        for known in self._by_fleet.values():
            total.add(known.total)
        return total

    def by_hour(self, fleet: str, start: int, end: int) -> dict[str, Any]:
        """The fleet's totals and its hours `start <= hour < end`, ready to be added to those of other shards.

        Returns:
            `total`, `hours` by hour since the epoch, and `earlier`, what is in none of the hours kept, each as
            `Tally.as_dict`; `complete_from`, the first hour of which nothing is hidden in `earlier`. O(hours kept).
        """
        known = self._by_fleet.get(fleet, _FleetLedger())
        return {
            "total": known.total.as_dict(),
            "earlier": known.earlier().as_dict(),
            "hours": {hour: tally.as_dict() for hour, tally in known.hours.items() if start <= hour < end},
            "complete_from": end if known.complete_from is None else known.complete_from,
        }

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """As JSON, for a checkpoint."""
        return {
            fleet: {
                "total": asdict(known.total),
                "hours": {str(hour): asdict(tally) for hour, tally in known.hours.items()},
                "complete_from": known.complete_from,
            }
            for fleet, known in self._by_fleet.items()
        }

    def restore(self, document: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `snapshot` wrote, also before there were hours: then it had the totals alone."""
        self._by_fleet = {
            fleet: _restored(known) if "total" in known else _FleetLedger(_tally(known), complete_from=None)
            for fleet, known in document.items()
        }


def merged(fleet: str, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The ledger of a fleet from what its shards say, each as `account_answers.ledger_by_hour` does.

    Returns:
        The totals side by side with `fleet`, `frames_missing`, `earlier`, `hours`, `complete_from`, `rollups_waiting`,
        `forgetting`.
    """
    total, earlier, hours = _zeros(), _zeros(), dict[int, dict[str, int]]()
    for part in parts:
        _add_counts(total, part["total"])
        _add_counts(earlier, part["earlier"])
        for hour, counts in part["hours"].items():
            _add_counts(hours.setdefault(hour, _zeros()), counts)
    return {
        "fleet": fleet,
        **total,
        "frames_missing": sum(part["frames_missing"] for part in parts),
        "earlier": earlier,
        "hours": dict(sorted(hours.items())),
        "complete_from": max((part["complete_from"] for part in parts), default=0),
        "rollups_waiting": any(part["rollups_waiting"] for part in parts),
        "forgetting": any(part["forgetting"] for part in parts),
    }


def _zeros() -> dict[str, int]:
    return Tally().as_dict()


def _add_counts(total: dict[str, int], counts: Mapping[str, int]) -> None:
    for name in total:
        total[name] += counts[name]
