"""The shapes of answers, as OpenAPI shows them. Timestamps are microseconds since the epoch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.keys.record import MAX_FLEET_CHARACTERS, Scope

Microseconds = Annotated[int, Field(description="Microseconds since the epoch.", examples=[1785000000000000])]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class ProblemDetails(_Answer):
    """RFC 9457."""

    type: str = Field(examples=["urn:canfleet:problem:overloaded"])
    title: str = Field(examples=["Overloaded"])
    status: int = Field(examples=[503])
    detail: str
    instance: str = Field(examples=["urn:canfleet:request:4f1c"])


class FrameCounts(_Answer):
    """What became of the frames of one request: received = accepted + duplicates + dead_lettered."""

    received: int = Field(examples=[5000])
    accepted: int = Field(examples=[4998])
    duplicates: int = Field(examples=[1])
    dead_lettered: int = Field(examples=[1])


class LogCounts(FrameCounts):
    """The same for a log file."""

    skipped: int = Field(description="Entries of the log that are no data frames.", examples=[0])


class Vehicle(_Answer):
    """A vehicle of the fleet."""

    vehicle_id: str = Field(examples=["truck-7"])
    last_seen: Annotated[int, Field(description="Newest event time, microseconds.", examples=[1785000000000000])]
    last_received: Annotated[int, Field(description="Newest receipt, microseconds.", examples=[1785000000000900])]
    frames: int = Field(examples=[73785])


class Vehicles(_Answer):
    """All vehicles of the fleet."""

    vehicles: list[Vehicle]


class Signal(_Answer):
    """Latest value of a signal, and its window."""

    message: str = Field(examples=["Engine"])
    signal: str = Field(examples=["EngineSpeed"])
    value: float | None = Field(examples=[1875.5])
    unit: str | None = Field(examples=["rpm"])
    timestamp: Microseconds
    window: dict[str, float | int | None] | None = Field(
        default=None, examples=[{"count": 50, "mean": 1870.2, "std": 4.1, "min": 1861.0, "max": 1880.0, "last": 1875.5}]
    )


class Latest(_Answer):
    """A vehicle as it is now."""

    vehicle_id: str
    last_seen: Microseconds
    signals: list[Signal]


class Point(_Answer):
    """A raw value (message, value), or a bucket (count, min, max, mean, last) that begins at `timestamp`."""

    timestamp: Microseconds
    value: float | None = None
    message: str | None = None
    count: int | None = None
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    last: float | None = None


class History(_Answer):
    """A signal over time, with the resolution used. `partial` tells that ClickHouse is away; `reason` says more."""

    vehicle_id: str
    signal: str
    resolution: str = Field(description="`raw`, or the length of the buckets.", examples=["1m"])
    step: float | None = Field(description="Seconds a bucket; null for raw values.", examples=[60])
    points: list[Point]
    partial: bool
    reason: str | None = None


class Anomaly(_Answer):
    """Something a detector found; an open one grows until it is closed."""

    id: str = Field(examples=["6f1c0a52e1b8d7f3"])
    vehicle_id: str = Field(examples=["truck-7"])
    kind: str = Field(examples=["stuck"])
    timestamp: Microseconds
    ended_at: Microseconds
    detected_at: Microseconds
    message: str = Field(examples=["Engine"])
    signal: str = Field(examples=["EngineSpeed"])
    arbitration_id: int | None
    value: float | None
    score: float | None
    count: int
    closed: bool
    detail: str


class Anomalies(_Answer):
    """Anomalies, newest first. `partial` tells that ClickHouse is away and only recent ones are listed."""

    anomalies: list[Anomaly]
    partial: bool
    reason: str | None = None


class SessionGaps(_Answer):
    """One session: `missing` of the frames between `oldest` and `newest` did not come."""

    session: int = Field(examples=[3])
    oldest: int = Field(examples=[0])
    newest: int = Field(examples=[4999])
    received: int = Field(examples=[4990])
    missing: int = Field(examples=[10])


class Gaps(_Answer):
    """Frames of a vehicle that never came. `earlier_missing` is what sessions no longer told apart lacked; of these,
    `earlier_late` frames have come since."""

    vehicle_id: str = Field(examples=["truck-7"])
    missing: int = Field(examples=[12])
    sessions: list[SessionGaps]
    earlier_missing: int = Field(examples=[2])
    earlier_late: int = Field(examples=[0])


class LedgerCounts(_Answer):
    """received = accepted + duplicates + dead_lettered; accepted = stored + pending."""

    received: int = Field(examples=[5000])
    accepted: int = Field(examples=[4998])
    duplicates: int = Field(examples=[1])
    dead_lettered: int = Field(examples=[1])
    stored: int = Field(examples=[4900])
    pending: int = Field(examples=[98])


class LedgerHour(LedgerCounts):
    """The same of one hour of receipt."""

    hour: str = Field(examples=["2026-01-31T12:00:00Z"])


class LedgerAnswer(LedgerCounts):
    """A fleet's ledger: in all, by hour of receipt, and what came before the hours that are told apart."""

    fleet: str = Field(examples=["north"])
    frames_missing: int = Field(description="Frames vehicles counted that never came.", examples=[12])
    earlier: LedgerCounts
    hours: list[LedgerHour]


class Reconciliation(_Answer):
    """Ledger against ClickHouse. `settled`: nothing came meanwhile, so that the rollups had to be exact."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    fleet: str = Field(examples=["north"])
    start: str = Field(alias="from", examples=["2026-01-30T13:00:00Z"])
    end: str = Field(alias="to", examples=["2026-01-31T13:00:00Z"])
    agrees: bool
    difference: str | None
    frames: int = Field(description="Frames in ClickHouse in these hours.", examples=[4320000])
    settled: bool


class Readiness(_Answer):
    """Whether data can be accepted durably."""

    ready: bool
    reasons: list[str]


class Asked(BaseModel):
    """What a client asks for in a body."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_unicode(cls, document: object) -> object:
        # JSON can escape half of a character. Nothing that has to write it, as UTF-8, would know what to do.
        if not _is_unicode(document):
            raise ValueError("a text in it is no Unicode: an escape is half of a surrogate pair")
        return document


def _is_unicode(document: object) -> bool:
    # Not by recursion: what a client nests has no end.
    waiting = [document]
    while waiting:
        match waiting.pop():
            case str() as text:
                if any("\ud800" <= character <= "\udfff" for character in text):
                    return False
            case list() as parts:
                waiting += parts
            case dict() as pairs:
                waiting += [*pairs.keys(), *pairs.values()]
    return True


class KeyRequest(Asked):
    """A key to be made."""

    fleet: str = Field(min_length=1, max_length=MAX_FLEET_CHARACTERS, examples=["north"])
    scopes: list[Scope] = Field(min_length=1, examples=[["ingest", "query"]])
    expires_at: int | None = Field(
        None, ge=0, le=1 << 53, description="When it stops working, microseconds since the epoch."
    )
    vehicles: list[str] = Field(
        default_factory=list,
        description="Ids or globs (`truck-*`) of the vehicles it may send frames of; for a key that only ingests.",
        examples=[["truck-7"]],
    )


class KeyInfo(_Answer):
    """A key without its secret."""

    id: str
    fleet: str
    scopes: list[Scope]
    created: Microseconds
    last_used: int | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    vehicles: list[str] = Field(description="The vehicles it is bound to; empty for all of its fleet.")


class NewKey(KeyInfo):
    """A key with its text, which is shown this once."""

    key: str = Field(examples=["cf_k3j5h2g8d9s1_…"])


class Keys(_Answer):
    """API keys."""

    keys: list[KeyInfo]
