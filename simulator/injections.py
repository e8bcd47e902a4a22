"""What a fleet does wrong on purpose, what may be chosen for it, and the truth about each episode."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.errors import ConfigError
from pipeline.frames.schema import MAX_STANDARD_ID
from pipeline.types import F64, I64, U32
from simulator.driving import SIGNALS
from simulator.layout import FleetDatabase

WARMUP_US: Final = 20_000_000
"""A vehicle behaves for this long before its first episode."""
PAUSE_US: Final = 15_000_000
"""Least time between two episodes of one vehicle."""


class Kind(IntEnum):
    """Kinds of episodes; the lower-case name is the `kind` of the anomaly that must be raised."""

    OUT_OF_RANGE = 1
    """Two samples of a signal beyond the database's minimum or maximum."""
    SUDDEN_DEVIATION = 2
    """One sample far from its neighbours, inside the range."""
    RATE_OF_CHANGE = 3
    """Three samples climb (or fall) many times faster than the signal ever does, then it returns."""
    STUCK = 4
    """Every sample of a message repeats one payload for 30 s, while driving."""
    MISSING_MESSAGE = 5
    """A message stays away for 8 cycles, and for 6 s at least."""
    UNKNOWN_ARBITRATION_ID = 6
    """Five frames with an id that is in no database."""
    FLOOD = 7
    """A message comes about 20 times as often as usual, for 3 s."""

    @property
    def label(self) -> str:
        """Name in truth files and in `/v1/anomalies`."""
        return self.name.lower()


@dataclass(frozen=True)
class Injections:
    """How much goes wrong; nothing by default.

    Attributes:
        duplicates: share of frames sent once more, within 3 s of their timestamp.
        late: share of frames held back for 0.3 to 3 s.
        anomalies: chance of an episode per vehicle and minute. One at a time, with PAUSE_US between two.
    """

    duplicates: float = 0.0
    late: float = 0.0
    anomalies: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        for name, value in asdict(self).items():
            if not value >= 0.0 or (name != "anomalies" and value > 1.0):
                raise ConfigError(f"{name} must be a probability, not {value}")


@dataclass(frozen=True)
class Episode:
    """One thing that was made to go wrong.

    Attributes:
        vehicle_id, kind: who and what; `kind` is a `Kind`'s label.
        message, signal: names; the signal where one alone is wrong, the message where the database knows it.
        arbitration_id: of the frames concerned.
        start, end: µs since the epoch. First and last wrong frame; for a missing message from the first frame left
            out to the first that comes again; for a rate of change to the sample that has returned.
        complete: whether the run lasted until `end`.
    """

    vehicle_id: str
    kind: str
    message: str | None
    signal: str | None
    arbitration_id: int
    start: int
    end: int
    complete: bool

    def as_json(self) -> dict[str, Any]:
        """The line of a truth file."""
        return asdict(self)


class Targets(NamedTuple):
    """What each kind may pick from, as the kernel reads it. A kind without targets never happens."""

    kinds: I64
    """Kinds that have targets."""
    range_signals: I64
    spike_signals: I64
    spike_sizes: F64
    ramp_signals: I64
    ramp_steps: F64
    stuck_messages: I64
    regular_messages: I64
    """Messages that may go missing, or flood."""
    unknown_ids: U32


def find_targets(database: FleetDatabase, schedule: I64, models: I64 | None) -> Targets:
    """Targets in `database`; spikes and ramps only in the car whose normal behaviour is known (`driving.models_of`).

    Only fast messages are chosen, for a detector needs a history of samples: those with one slot in 15, or as many
    as any has. Multiplexed messages are never frozen nor left out, for each of their parts has a rhythm of its own.
    """
    turns = np.bincount(schedule, minlength=len(database.messages))
    layout = database.layout
    variants = np.diff(layout.first_variant)
    fast = ((turns * 15 >= len(schedule)) | (turns == turns.max())) & (variants == 1)
    signal_fast = fast[database.signal_message]
    above = database.raw_high > database.high + 2 * database.step
    below = database.raw_low < database.low - 2 * database.step
    ranged = signal_fast & database.bounded & (above | below) & ~database.discrete
    analogue = np.bincount(database.signal_message, ~database.discrete, minlength=len(turns)) > 0
    behaviour = [] if models is None else [SIGNALS[model] for model in models]
    spikes = [number for number, model in enumerate(behaviour) if model.spike and signal_fast[number]]
    ramps = [number for number, model in enumerate(behaviour) if model.ramp and signal_fast[number]]
    known = set(layout.arbitration_id[~layout.is_extended].tolist())
    targets: dict[Kind, Any] = {
        Kind.OUT_OF_RANGE: np.flatnonzero(ranged),
        Kind.SUDDEN_DEVIATION: np.array(spikes, np.int64),
        Kind.RATE_OF_CHANGE: np.array(ramps, np.int64),
        Kind.STUCK: np.flatnonzero(fast & analogue),
        Kind.MISSING_MESSAGE: np.flatnonzero(fast),
        Kind.FLOOD: np.flatnonzero(fast),
        Kind.UNKNOWN_ARBITRATION_ID: np.array(sorted(set(range(1, MAX_STANDARD_ID)) - known), np.uint32),
    }
    return Targets(
        kinds=np.array([kind for kind, choice in targets.items() if len(choice)], np.int64),
        range_signals=targets[Kind.OUT_OF_RANGE],
        spike_signals=targets[Kind.SUDDEN_DEVIATION],
        spike_sizes=np.array([behaviour[number].spike for number in spikes], np.float64),
        ramp_signals=targets[Kind.RATE_OF_CHANGE],
        ramp_steps=np.array([behaviour[number].ramp for number in ramps], np.float64),
        stuck_messages=targets[Kind.STUCK],
        regular_messages=targets[Kind.FLOOD],
        unknown_ids=targets[Kind.UNKNOWN_ARBITRATION_ID],
    )
