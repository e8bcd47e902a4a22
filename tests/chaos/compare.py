"""Frames that must be stored against frames that are, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

import polars as pl

_COUNTED: Final = ["vehicle_id", "session", "sequence"]
_PLAIN: Final = ["vehicle_id", "time", "channel", "arbitration_id", "data"]
_CONTENT: Final = ["time", "channel", "arbitration_id", "is_extended", "data"]
_EXAMPLES: Final = 3


@dataclass(slots=True)
class Difference:
    """Frames that are not as they should be, with the first few of each kind.

    Attributes:
        acknowledged: distinct frames that must be stored.
        stored: rows looked at.
        lost: acknowledged frames that are not stored.
        doubled: rows too many of frames stored more than once.
        unexpected: rows of frames that were never sent.
        changed: rows with a known identity and other content.
        values: signals that the stored frames carry.
    """

    acknowledged: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    unexpected: int = 0
    changed: int = 0
    values: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether there is none."""
        return not (self.lost or self.doubled or self.unexpected or self.changed)

    def add(self, other: Difference) -> None:
        """Add what was found in another part of the frames."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def compare(expected: pl.DataFrame, stored: pl.DataFrame) -> Difference:
    """The difference between frames sent, each once, and rows of the table `frames`; of one fleet. O(n log n).

    Args:
        expected: as `Traffic.expected` gives them; those not acknowledged may be stored or not.
        stored: the same columns, but for request, acknowledged and values.
    """
    counted = pl.col("sequence").is_not_null()
    total = Difference()
    for rows, identity in ((counted, _COUNTED), (~counted, _PLAIN)):
        total.add(_compare(expected.filter(rows), stored.filter(rows), identity))
    return total


def _compare(expected: pl.DataFrame, stored: pl.DataFrame, identity: list[str]) -> Difference:
    lost = expected.filter("acknowledged").join(stored, on=identity, how="anti")
    doubled = stored.group_by(identity).len().filter(pl.col("len") > 1)
    unexpected = stored.join(expected, on=identity, how="anti")
    both = stored.join(expected, on=identity, how="inner", suffix=" sent")
    differs = [pl.col(name) != pl.col(f"{name} sent") for name in _CONTENT if name not in identity]
    changed = both.filter(pl.any_horizontal(differs))
    found = {"lost": lost, "doubled": doubled, "unexpected": unexpected, "changed": changed}
    return Difference(
        acknowledged=int(expected["acknowledged"].sum()),
        stored=len(stored),
        lost=len(lost),
        doubled=int((doubled["len"] - 1).sum()),
        unexpected=len(unexpected),
        changed=len(changed),
        values=int(both["values"].sum()),
        examples=[f"{kind}: {row}" for kind, rows in found.items() for row in _shown(rows)],
    )


def _shown(rows: pl.DataFrame) -> Iterable[dict[str, Any]]:
    return rows.head(_EXAMPLES).to_dicts()
