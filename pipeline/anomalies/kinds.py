"""The kinds of anomalies: their numbers in arrays, their names in SQL and in the API, and their words for people."""

from __future__ import annotations

from enum import IntEnum
from math import isnan
from typing import Final


class Kind(IntEnum):
    """What was observed. Numbers are stored in checkpoints and never change; names are `Kind.X.label`."""

    OUT_OF_RANGE = 0
    SUDDEN_DEVIATION = 1
    RATE_OF_CHANGE = 2
    STUCK = 3
    MISSING_MESSAGE = 4
    UNKNOWN_ARBITRATION_ID = 5
    FLOOD = 6

    @property
    def label(self) -> str:
        """Name in SQL, in the API and in the configuration, for example `out_of_range`."""
        return self.name.lower()


NAMES: Final[tuple[str, ...]] = tuple(kind.label for kind in Kind)
"""Names by number: `NAMES[kind]`."""


def describe(
    kind: int,
    *,
    value: float,
    score: float,
    arbitration_id: int = 0,
    signal: str = "",
    message: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
) -> str:
    """One sentence about an anomaly, for people.

    Args:
        kind: number of a `Kind`.
        value: the event's value; its unit depends on the kind, see `AnomalyEvents`.
        score: the event's score, see `AnomalyEvents`.
        arbitration_id: printed in hexadecimal for the kinds about frames.
        signal: name of the signal, for the kinds about values.
        message: name of the message, where one is known.
        minimum: lower bound of the signal, if it has one.
        maximum: upper bound of the signal, if it has one.

    Raises:
        ValueError: `kind` is none of the kinds.
    """
    frame = f"{message} (0x{arbitration_id:X})" if message else f"0x{arbitration_id:X}"
    match Kind(kind):
        case Kind.OUT_OF_RANGE:
            low = "-∞" if minimum is None or isnan(minimum) else f"{minimum:g}"
            high = "∞" if maximum is None or isnan(maximum) else f"{maximum:g}"
            return f"{signal} is {value:g}, outside {low} to {high}"
        case Kind.SUDDEN_DEVIATION:
            return f"{signal} jumped to {value:g}, {score:.1f} standard deviations from what its history expects"
        case Kind.RATE_OF_CHANGE:
            return f"{signal} reached {value:g}, changing {score:.1f} times faster than its limit"
        case Kind.STUCK:
            return f"{signal} stays at exactly {value:g}, {score:.1f} times longer than it may"
        case Kind.MISSING_MESSAGE:
            return (
                f"{frame} was not heard for {value:.1f} s, {score:.1f} of its cycles, while the vehicle goes on sending"
            )
        case Kind.UNKNOWN_ARBITRATION_ID:
            return f"{frame} is in no signal database"
        case Kind.FLOOD:
            return f"{frame} comes every {value * 1000:.0f} ms, {score:.1f} times as often as usual"
