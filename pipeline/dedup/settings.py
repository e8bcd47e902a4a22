"""How much the duplicate filter remembers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class DuplicateSettings(BaseModel):
    """Memory of the duplicate filter, per shard. What it has forgotten, the warehouse is asked about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_bits: int = Field(default=8192, ge=64, le=1 << 24)
    """Sequence numbers remembered behind the newest one of a session; a power of two. A kilobyte per 8,192."""
    sessions: int = Field(default=2, ge=1, le=64)
    """Sessions remembered per vehicle: the ones with the highest numbers."""
    content_entries: int = Field(default=1 << 23, ge=0, le=1 << 32)
    """Frames without a sequence number that the shard remembers; 16 bytes each, taken as they are needed."""

    @field_validator("window_bits")
    @classmethod
    def _power_of_two(cls, bits: int) -> int:
        if bits & (bits - 1):
            raise ValueError(f"{bits} is not a power of two")
        return bits
