"""A vehicle on its way out of a shard."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Forgetting:
    """One vehicle, since its FORGET record was written.

    Attributes:
        fleet, vehicle_id: whose name it is.
        letters_only: whether another shard holds its frames, and this one has no more of it than dead letters.
        index: its number in the shard; None where the shard did not know it.
        end: the journal offset behind the record.
        counted: whether the journal says how many frames of it were stored, hour by hour.
        erased: whether nothing but the checkpoints and the journal knows of it.
        removed: how much was removed, by place.
        done: has `removed` once nothing is left.
    """

    fleet: str
    vehicle_id: str
    letters_only: bool
    index: int | None
    end: int
    counted: bool = False
    erased: bool = False
    removed: dict[str, int] = field(default_factory=dict)
    done: Future[dict[str, int]] = field(default_factory=Future)

    def add(self, removed: dict[str, int]) -> None:
        """So much more was removed."""
        for place, count in removed.items():
            self.removed[place] = self.removed.get(place, 0) + count
