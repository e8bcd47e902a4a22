"""The ledger: where every frame of a fleet went, counted from journal records so that a replay counts the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields


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
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    stored: int = 0
    dead_letters_stored: int = 0

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
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, int]:
        """The counts with `pending`, as the API shows them."""
        counts = asdict(self) | {"pending": self.pending}
        del counts["dead_letters_stored"]
        return counts


class Ledger:
    """Tallies by fleet. Not thread-safe: the shard's lock guards it."""

    def __init__(self) -> None:
        self._by_fleet: dict[str, Tally] = {}

    def of(self, fleet: str) -> Tally:
        """The fleet's tally; zeros, not remembered, for a fleet never seen."""
        return self._by_fleet.get(fleet, Tally())

    def add(self, tallies: Mapping[str, Tally]) -> None:
        """Count what one journal record or one confirmed insert says."""
        for fleet, tally in tallies.items():
            self._by_fleet.setdefault(fleet, Tally()).add(tally)

    def total(self) -> Tally:
        """All fleets together."""
        total = Tally()
        for tally in self._by_fleet.values():
            total.add(tally)
        return total

    def snapshot(self) -> dict[str, dict[str, int]]:
        """As JSON, for a checkpoint."""
        return {fleet: asdict(tally) for fleet, tally in self._by_fleet.items()}

    def restore(self, document: Mapping[str, Mapping[str, int]]) -> None:
        """Take over what `snapshot` wrote.

        Snapshots of older versions do not count stored dead letters: all but the newest were.
        """
        self._by_fleet = {
            fleet: Tally(**{"dead_letters_stored": counts["dead_lettered"], **counts})
            for fleet, counts in document.items()
        }
