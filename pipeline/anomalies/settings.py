"""What a deployment can set about anomalies: thresholds per detector, and overrides per signal."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    """Frozen, and strict about unknown keys: a misspelt threshold is an error, not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = Field(default=True, description="Whether the detector runs.")


class OutOfRange(_Settings):
    """A value outside the database's minimum and maximum, or outside the bounds given here."""

    minimum: float | None = Field(default=None, description="Lower bound; the database's where absent.")
    maximum: float | None = Field(default=None, description="Upper bound; the database's where absent.")
    tolerance: float = Field(
        default=1e-6, ge=0, description="Forgiven beyond a bound, relative to the larger bound: float32 steps are 1e-7."
    )


class SuddenDeviation(_Settings):
    """A value that jumped away from where its own history and the fleet's say it can be."""

    z: float = Field(default=5.0, gt=0, description="Standard deviations of the signal's own steps.")
    margin: float = Field(default=1.5, ge=1, description="Times the fastest normal step of the signal in the fleet.")
    range_share: float = Field(
        default=0.2,
        gt=0,
        description="A jump over this share of the signal's range is reported at once; "
        "a smaller one when the next value shows that it was no ramp.",
    )


class RateOfChange(_Settings):
    """A value that keeps changing faster than it can."""

    per_second: float | None = Field(
        default=None, gt=0, description="Limit in the signal's unit per second; learned where absent."
    )
    factor: float = Field(default=3.0, ge=1, description="A learned limit is this many times the fastest normal rate.")


class Stuck(_Settings):
    """A signal that varies by nature and repeats one bit-identical value."""

    seconds: float = Field(default=12.0, gt=0, description="Shortest time of standstill that is reported.")
    samples: int = Field(default=6, ge=2, description="Fewest identical values that are reported.")
    factor: float = Field(default=2.0, ge=1, description="Times the longest normal standstill of the signal.")


class MissingMessage(_Settings):
    """A cyclic message that stays away while its vehicle goes on sending."""

    cycles: float = Field(default=5.0, gt=1, description="Cycle times without the message.")
    seconds: float = Field(default=4.0, gt=0, description="Shortest absence that is reported.")


class UnknownArbitrationId(_Settings):
    """A frame whose arbitration id is in no signal database; needs at least one database."""

    cooldown_seconds: float = Field(
        default=300.0, gt=0, description="An id is reported again only after this much silence."
    )
    background_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Ids heard in a vehicle's first seconds are normal: for databases that cover its traffic in part.",
    )
    ids_per_vehicle: int = Field(default=64, ge=1, le=512, description="Ids remembered; further ones are only counted.")


class Flood(_Settings):
    """One id of a vehicle that comes far more often than it did."""

    factor: float = Field(default=5.0, gt=1, description="Times the usual rate.")
    frames: int = Field(default=4, ge=2, le=1000, description="Gaps in a row that short.")
    seconds: float = Field(default=0.5, ge=0, description="Shortest flood that is reported.")


class SignalOverride(BaseModel):
    """Thresholds of some signals; a field left out keeps the general setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out_of_range: OutOfRange = Field(default=OutOfRange(), description="Override of `out_of_range`.")
    sudden_deviation: SuddenDeviation = Field(default=SuddenDeviation(), description="Override of `sudden_deviation`.")
    rate_of_change: RateOfChange = Field(default=RateOfChange(), description="Override of `rate_of_change`.")
    stuck: Stuck = Field(default=Stuck(), description="Override of `stuck`.")


class AnomalySettings(BaseModel):
    """All thresholds. Times are event time in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    out_of_range: OutOfRange = Field(default=OutOfRange(), description="Values outside their bounds.")
    sudden_deviation: SuddenDeviation = Field(default=SuddenDeviation(), description="Jumps.")
    rate_of_change: RateOfChange = Field(default=RateOfChange(), description="Ramps.")
    stuck: Stuck = Field(default=Stuck(), description="Frozen values.")
    missing_message: MissingMessage = Field(default=MissingMessage(), description="Messages that stay away.")
    unknown_arbitration_id: UnknownArbitrationId = Field(
        default=UnknownArbitrationId(), description="Ids in no database."
    )
    flood: Flood = Field(default=Flood(), description="Ids that come too often.")
    warmup_samples: int = Field(
        default=10, ge=2, description="Values of a series, and changes of a signal, before a learned limit may fire."
    )
    warmup_seconds: float = Field(default=10.0, ge=0, description="Age of a series before a learned limit may fire.")
    warmup_frames: int = Field(
        default=5, ge=2, description="Frames of an id before its absence or its flood may be reported."
    )
    hold_seconds: float = Field(
        default=10.0, gt=0, description="An anomaly closes after this long without a violation of its cause."
    )
    signals: dict[str, SignalOverride] = Field(
        default_factory=dict,
        description="Overrides by `Message.Signal`, with * and ? as wildcards; of several that match, later ones win.",
    )
