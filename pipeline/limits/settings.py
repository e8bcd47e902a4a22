"""What an operator may set about rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias, assert_never

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from pipeline.limits.window import Window, parse_windows, write_windows

FrameUnit: TypeAlias = Literal["frames", "backfill"]
Unit: TypeAlias = Literal["requests"] | FrameUnit
"""What is counted; `frames` are live and critical ones."""
UNITS: Final[tuple[Unit, ...]] = ("requests", "frames", "backfill")


def _windows(given: object) -> tuple[Window, ...]:
    if isinstance(given, str):
        return parse_windows(given) if given else ()
    if isinstance(given, tuple) and all(isinstance(window, Window) for window in given):
        return given
    raise ValueError(f"a rate is text, as in '1000/s, 20000/min', not {given!r}")


Rate: TypeAlias = Annotated[tuple[Window, ...], PlainValidator(_windows), PlainSerializer(write_windows)]
"""Windows that hold at the same time, written as `1000/s, 20000/min`; none where the text is empty."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RateSettings(_Section):
    """Bounds of one key or one fleet; what is left out has none."""

    requests: Rate = ()
    frames: Rate = ()
    """Live and critical frames."""
    backfill: Rate = ()
    """Frames of the backfill lane, which count here instead: a day of logs takes nothing from live data."""

    def of(self, unit: Unit) -> Rate:
        """The bounds in `unit`."""
        match unit:
            case "requests":
                return self.requests
            case "frames":
                return self.frames
            case "backfill":
                return self.backfill
            case _:
                assert_never(unit)


class RateLimitSettings(_Section):
    """Who may send how much, at all gateways together."""

    key: RateSettings = RateSettings()
    """For each key."""
    fleet: RateSettings = RateSettings()
    """For each fleet, all its keys together."""
    fleets: Mapping[str, RateSettings] = Field(default_factory=dict)
    """For fleets that have bounds of their own, by name, instead of those of `fleet`."""
    unauthenticated: Rate = parse_windows("5/s, 60/min")
    """Requests without a valid key from one address. Those with one are not counted, and never refused by it."""
    max_callers: int = Field(default=100_000, ge=1)
    """Keys, fleets and addresses that one gateway remembers at a time, about 1 KB each."""

    def of_fleet(self, fleet: str) -> RateSettings:
        """The bounds of `fleet`."""
        return self.fleets.get(fleet, self.fleet)
