"""What an operator may set about the journal."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class JournalSettings(BaseModel):
    """The durable log of one shard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segment_bytes: int = Field(
        default=64 << 20,
        ge=1 << 20,
        le=1 << 30,
        description="size at which a segment file is closed; disk space comes back one segment at a time",
    )
