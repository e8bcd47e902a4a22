"""What an operator may set about lanes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.lanes.ids import id_key


class LaneSettings(BaseModel):
    """Which frames are critical, by any of three marks, and from when on a request is backfill."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    critical_ids: tuple[int | str, ...] = ()
    """Arbitration ids: numbers, or hexadecimal text. Eight digits, as candump writes them, are a 29-bit id."""
    critical_messages: tuple[str, ...] = ()
    """Names of messages in the databases, or globs over them, such as `Airbag*`."""
    critical_attribute: str | None = "CanfleetPriority"
    """A message attribute of the databases (`BA_` in a DBC): messages where it is `critical` or 1 are critical."""
    backfill_after_s: float = Field(default=600.0, gt=0)
    """A request whose newest frame was this old when it came is backfill."""

    @field_validator("critical_ids")
    @classmethod
    def _ids_are_ids(cls, ids: tuple[int | str, ...]) -> tuple[int | str, ...]:
        for given in ids:
            id_key(given)
        return ids
