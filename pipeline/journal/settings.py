"""What an operator may set about the journal."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class JournalSettings(BaseModel):
    """The durable log of one shard, and when its disk counts as full."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segment_bytes: int = Field(
        default=64 << 20,
        ge=1 << 20,
        le=1 << 30,
        description="size at which a segment file is closed; disk space comes back one segment at a time",
    )
    min_free_bytes: int = Field(
        default=512 << 20, ge=0, description="with less room on the journal's file system, live and backfill get 503"
    )
    critical_free_bytes: int = Field(default=128 << 20, ge=0, description="with less than this, critical requests too")
    max_bytes: int | None = Field(
        default=None,
        ge=10 << 20,
        description="most bytes of one shard's journal: live and backfill get 503 from nine tenths of it on",
    )

    @model_validator(mode="after")
    def _critical_requests_are_refused_last(self) -> Self:
        if self.critical_free_bytes > self.min_free_bytes:
            raise ValueError("critical_free_bytes must not be above min_free_bytes")
        return self
