"""The shapes of answers, as OpenAPI shows them. Timestamps are microseconds since the epoch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.frames.schema import MAX_VEHICLE_ID_CHARACTERS

Microseconds = Annotated[int, Field(description="Microseconds since the epoch.", examples=[1785000000000000])]


class Answer(BaseModel):
    """A document that may have further members, which clients pass over."""

    model_config = ConfigDict(extra="allow")


class ProblemDetails(Answer):
    """RFC 9457. Problems of one `type` may have further members."""

    type: str = Field(
        pattern="^urn:canfleet:problem:[a-z-]+$",
        description="Which problem it is: the word to tell problems apart by.",
        examples=["urn:canfleet:problem:overloaded"],
    )
    title: str = Field(description="The same in words.", examples=["Overloaded"])
    status: int = Field(ge=400, le=599, examples=[503])
    detail: str = Field(
        description="What happened here, for a person to read.", examples=["shard 0 has 1 MiB in flight"]
    )
    instance: str = Field(description="This occurrence.", examples=["urn:canfleet:request:4f1c"])


class Frame(BaseModel):
    """A CAN frame. A row that breaks a rule becomes a dead letter; the good rows go on."""

    vehicle_id: str = Field(min_length=1, max_length=MAX_VEHICLE_ID_CHARACTERS, examples=["truck-7"])
    timestamp: str | int = Field(
        description="Event time: RFC 3339, or integer microseconds since the epoch.",
        examples=["2026-01-31T12:00:00.000123Z"],
    )
    arbitration_id: int = Field(ge=0, le=0x1FFFFFFF, description="11 or 29 bits.", examples=[419360256])
    data: str = Field(
        pattern="^([0-9A-Fa-f]{2}){0,64}$", description="Up to 64 bytes, in hexadecimal.", examples=["ffff681376ffffff"]
    )
    is_extended: bool | None = Field(
        None, description="Whether the id has 29 bits; by its value where absent.", examples=[True]
    )
    channel: int | None = Field(None, ge=0, le=255, description="0 where absent.", examples=[0])
    session: int | None = Field(
        None, ge=0, le=0xFFFFFFFF, description="A boot of the vehicle; goes with `sequence`.", examples=[3]
    )
    sequence: int | None = Field(
        None,
        ge=0,
        le=0xFFFFFFFFFFFFFFFF,
        description="Counts the vehicle's frames within the session; with it, a frame is known again by its number.",
        examples=[17],
    )


class FrameCounts(Answer):
    """What became of the frames of one request: received = accepted + duplicates + dead_lettered."""

    received: int = Field(examples=[5000])
    accepted: int = Field(examples=[4998])
    duplicates: int = Field(examples=[1])
    dead_lettered: int = Field(examples=[1])


class LogCounts(FrameCounts):
    """The same for a log file."""

    skipped: int = Field(description="Entries of the log that are no data frames.", examples=[0])


class Vehicle(Answer):
    """A vehicle of the fleet."""

    vehicle_id: str = Field(examples=["truck-7"])
    last_seen: Annotated[int, Field(description="Newest event time, microseconds.", examples=[1785000000000000])]
    last_received: Annotated[int, Field(description="Newest receipt, microseconds.", examples=[1785000000000900])]
    frames: int = Field(examples=[73785])


class Vehicles(Answer):
    """All vehicles of the fleet."""

    vehicles: list[Vehicle]


class Signal(Answer):
    """Latest value of a signal, and its window."""

    message: str = Field(examples=["Engine"])
    signal: str = Field(examples=["EngineSpeed"])
    value: float | None = Field(examples=[1875.5])
    unit: str | None = Field(examples=["rpm"])
    minimum: float | None = Field(None, description="Valid from, by its database.", examples=[0.0])
    maximum: float | None = Field(None, description="Valid up to.", examples=[8000.0])
    timestamp: Microseconds
    window: dict[str, float | int | None] | None = Field(
        default=None,
        description="Its sliding window, which ends at `end`; null where no finite value lies in it.",
        examples=[
            {
                "end": 1785000000000000,
                "count": 50,
                "mean": 1870.2,
                "std": 4.1,
                "min": 1861.0,
                "max": 1880.0,
                "last": 1875.5,
            }
        ],
    )


class Latest(Answer):
    """A vehicle as it is now."""

    vehicle_id: str = Field(examples=["truck-7"])
    last_seen: Microseconds
    signals: list[Signal]


class Anomaly(Answer):
    """Something a detector found; an open one grows until it is closed."""

    id: str = Field(examples=["6f1c0a52e1b8d7f3"])
    vehicle_id: str = Field(examples=["truck-7"])
    kind: str = Field(examples=["stuck"])
    timestamp: Microseconds
    ended_at: Microseconds
    detected_at: Microseconds
    message: str = Field(examples=["Engine"])
    signal: str = Field(examples=["EngineSpeed"])
    arbitration_id: int | None = Field(
        description="Of kinds about frames; null for those about a signal.", examples=[None]
    )
    value: float | None = Field(examples=[1875.5])
    score: float | None = Field(examples=[4.2])
    count: int = Field(description="Violations so far.", examples=[120])
    closed: bool = Field(description="No further violation will extend it.", examples=[True])
    detail: str = Field(examples=["EngineSpeed has stood at 1875.5 for 30 s"])


class Anomalies(Answer):
    """Anomalies, newest first. `partial` tells that ClickHouse is away and only recent ones are listed."""

    anomalies: list[Anomaly]
    partial: bool = Field(examples=[False])
    reason: str | None = Field(None, examples=[None])


class SessionGaps(Answer):
    """One session: `missing` of the frames between `oldest` and `newest` did not come."""

    session: int = Field(examples=[3])
    oldest: int = Field(examples=[0])
    newest: int = Field(examples=[4999])
    received: int = Field(examples=[4990])
    missing: int = Field(examples=[10])


class Gaps(Answer):
    """Frames of a vehicle that never came. `earlier_missing` is what sessions no longer told apart lacked; of these,
    `earlier_late` frames have come since."""

    vehicle_id: str = Field(examples=["truck-7"])
    missing: int = Field(examples=[12])
    sessions: list[SessionGaps]
    earlier_missing: int = Field(examples=[2])
    earlier_late: int = Field(examples=[0])


class LedgerCounts(Answer):
    """received = accepted + duplicates + dead_lettered; accepted = stored + pending; of those stored, `forgotten` ones
    were of vehicles that were forgotten since, and are removed."""

    received: int = Field(examples=[5000])
    accepted: int = Field(examples=[4998])
    duplicates: int = Field(examples=[1])
    dead_lettered: int = Field(examples=[1])
    stored: int = Field(examples=[4900])
    pending: int = Field(examples=[98])
    forgotten: int = Field(examples=[0])


class LedgerHour(LedgerCounts):
    """The same of one hour of receipt."""

    hour: str = Field(examples=["2026-01-31T12:00:00Z"])


class LedgerAnswer(LedgerCounts):
    """A fleet's ledger: in all, by hour of receipt, and what came before the hours that are told apart."""

    fleet: str = Field(examples=["north"])
    frames_missing: int = Field(description="Frames vehicles counted that never came.", examples=[12])
    earlier: LedgerCounts
    hours: list[LedgerHour]


class Reconciliation(Answer):
    """Ledger against ClickHouse. `settled`: nothing came meanwhile, so that the rollups had to be exact."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    fleet: str = Field(examples=["north"])
    start: str = Field(alias="from", examples=["2026-01-30T13:00:00Z"])
    end: str = Field(alias="to", examples=["2026-01-31T13:00:00Z"])
    agrees: bool = Field(examples=[True])
    difference: str | None = Field(description="The first one, in words.", examples=[None])
    frames: int = Field(description="Frames in ClickHouse in these hours.", examples=[4320000])
    settled: bool = Field(examples=[True])


class FleetSummary(Answer):
    """A fleet in numbers."""

    vehicles: int = Field(examples=[10000])
    vehicles_online: int = Field(description="Heard from within the last minute.", examples=[9876])
    frames_per_second: float | None = Field(description="Accepted, as a moving average.", examples=[49873.5])
    anomalies: dict[str, int] = Field(description="By kind.", examples=[{"stuck": 3, "out_of_range": 12}])
    anomalies_open: int = Field(examples=[2])
    frames_missing: int = Field(description="Frames vehicles counted that never came.", examples=[12])
    ledger: LedgerCounts


class ShardState(Answer):
    """One shard. The bootstrap key sees more: sizes and counts, which tell of all fleets."""

    shard: int = Field(examples=[0])
    error: str | None = Field(None, description="Why it does not answer; then little else is known.", examples=[None])
    actor: int | None = Field(None, description="The partition actor that holds it.", examples=[0])
    breaker: str | None = Field(None, description="`closed` while it answers.", examples=["closed"])
    warehouse_error: str | None = Field(None, description="That ClickHouse takes nothing at present.", examples=[None])


class LetterRoom(Answer):
    """How many dead letters the fleet holds, and may hold."""

    held: int | None = Field(description="Null while ClickHouse has not told.", examples=[17])
    max: int = Field(examples=[1000000])
    full: bool = Field(description="Requests with bad rows get 503.", examples=[False])


class HistoryCache(Answer):
    """Answers about the past that the process which answers queries keeps, since it began."""

    hits: int = Field(examples=[912])
    misses: int = Field(examples=[88])
    hit_rate: float | None = Field(description="Null while nothing was asked.", examples=[0.912])
    answers: int = Field(examples=[60])
    bytes: int = Field(examples=[5400000])
    max_bytes: int = Field(examples=[67108864])


class PlatformState(Answer):
    """Health and lags, and the caller's fleet: its ledger with its last hours, its dead letters."""

    shards: list[ShardState]
    ledger: LedgerAnswer | None = Field(description="Null while a shard is away.")
    dead_letters: LetterRoom
    history_cache: HistoryCache | None = Field(None, description="For the bootstrap key alone.")
    operator: bool = Field(description="Whether the key is the bootstrap key, which sees all of it.", examples=[True])
    version: str = Field(description="Of the software that answers.", examples=["0.1.0"])


class Liveness(Answer):
    """That there is an answer at all."""

    status: str = Field(examples=["alive"])


class Readiness(Answer):
    """Whether data can be accepted durably."""

    ready: bool = Field(examples=[True])
    reasons: list[str] = Field(description="What it waits for.", examples=[[]])


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
