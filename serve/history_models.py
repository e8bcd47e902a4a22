"""The shapes of answers about the past, as OpenAPI shows them. Timestamps are microseconds since the epoch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from serve.models import Microseconds


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class OfRange(_Answer):
    """An answer about a range of event time."""

    start: Microseconds = Field(alias="from")
    end: Microseconds = Field(alias="to")


class Point(_Answer):
    """A raw value (message, value), or a bucket (count, min, max, mean, last) that begins at `timestamp`."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "timestamp": 1785000000000000,
                    "count": 50,
                    "min": 861.0,
                    "max": 1880.0,
                    "mean": 1370.2,
                    "last": 1875.5,
                }
            ]
        },
    )

    timestamp: Microseconds
    value: float | None = None
    message: str | None = None
    count: int | None = None
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    last: float | None = None


class History(OfRange):
    """A signal over time, with the resolution used. `partial` tells that ClickHouse is away; `reason` says more."""

    vehicle_id: str = Field(examples=["truck-7"])
    signal: str = Field(examples=["EngineSpeed"])
    resolution: str = Field(description="`raw`, or the length of the buckets.", examples=["1m"])
    step: float | None = Field(description="Seconds a bucket; null for raw values.", examples=[60])
    points: list[Point]
    partial: bool = Field(examples=[False])
    reason: str | None = Field(None, examples=[None])


class NamedPoint(Point):
    """A raw value or a bucket as in `Point`, of the signal that it names."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "signal": "EngineSpeed",
                    "timestamp": 1785000000000000,
                    "count": 50,
                    "min": 861.0,
                    "max": 1880.0,
                    "mean": 1370.2,
                    "last": 1875.5,
                }
            ]
        },
    )

    signal: str


class SeveralHistories(OfRange):
    """Several signals over time, all in one resolution; `points` by signal and time. The rest as in `History`."""

    vehicle_id: str = Field(examples=["truck-7"])
    signals: list[str] = Field(examples=[["EngineSpeed", "EngineLoad"]])
    resolution: str = Field(description="`raw`, or the length of the buckets.", examples=["1m"])
    step: float | None = Field(description="Seconds a bucket; null for raw values.", examples=[60])
    points: list[NamedPoint]
    partial: bool = Field(examples=[False])
    reason: str | None = Field(None, examples=[None])


class Position(_Answer):
    """Where a vehicle was."""

    timestamp: Microseconds
    latitude: float = Field(description="Degrees.", examples=[48.137154])
    longitude: float = Field(description="Degrees.", examples=[11.576124])


class Trip(_Answer):
    """From the first to the last sample that was on. `track` has some of its positions, both ends included."""

    start: Microseconds
    end: Microseconds
    duration_s: float = Field(examples=[1260.5])
    distance_m: float | None = Field(description="Null where neither speed nor positions are known.", examples=[14320])
    begins_before: bool = Field(description="It began before the range.", examples=[False])
    goes_on: bool = Field(description="It goes on after the range.", examples=[False])
    track: list[Position]


class TripsAnswer(OfRange):
    """Trips of a vehicle by start; the first 500 where there are more, and `complete` is false then."""

    vehicle_id: str = Field(examples=["truck-7"])
    told_by: str | None = Field(
        description="`ignition` or `speed`; null where the vehicle has sent neither.", examples=["speed"]
    )
    distance_by: str | None = Field(description="`speed` or `position`; null likewise.", examples=["speed"])
    trips: list[Trip]
    complete: bool = Field(examples=[True])


class FenceEvent(Position):
    """A vehicle's entering or leaving a fence, at the first position that shows it."""

    fence: str = Field(examples=["depot"])
    event: str = Field(description="`enter` or `leave`.", examples=["leave"])


class GeofencesAnswer(OfRange):
    """What a vehicle did at the fleet's fences; the first 10,000 events where there are more."""

    vehicle_id: str = Field(examples=["truck-7"])
    fences: list[str] = Field(description="All fences that the fleet has.", examples=[["depot"]])
    inside_at_start: list[str] = Field(
        description="Those in which the first position of the range lies.", examples=[["depot"]]
    )
    events: list[FenceEvent]
    complete: bool = Field(examples=[True])


class Bin(_Answer):
    """A bin of a histogram: how many values have a mean of their minute or hour in [low, high)."""

    low: float = Field(examples=[800.0])
    high: float = Field(examples=[850.0])
    count: int = Field(examples=[4210])


class LeadingVehicle(_Answer):
    """A vehicle's values in the range."""

    vehicle_id: str = Field(examples=["truck-7"])
    count: int = Field(examples=[86400])
    min: float = Field(examples=[650.0])
    max: float = Field(examples=[3120.5])
    mean: float = Field(examples=[1410.2])
    last: float = Field(examples=[1875.5])


class FleetSignal(OfRange):
    """One signal over the fleet. Vehicles, count, min, max and mean are of all finite values; quantiles and histogram
    are of the means of minutes or hours, each weighted by its count."""

    signal: str = Field(examples=["EngineSpeed"])
    resolution: str = Field(description="`1m` or `1h`.", examples=["1m"])
    vehicles: int = Field(description="That sent the signal.", examples=[9876])
    count: int = Field(examples=[853286400])
    min: float | None = Field(examples=[640.0])
    max: float | None = Field(examples=[6120.5])
    mean: float | None = Field(examples=[1432.8])
    quantiles: dict[str, float] = Field(
        description="By level: 0.01 to 0.99; empty where there are no values.", examples=[{"0.5": 1390.0}]
    )
    histogram: list[Bin]
    top: list[LeadingVehicle]
