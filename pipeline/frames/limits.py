"""The bounds a request body and its rows must keep."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

_MEBIBYTE = 1 << 20


class FrameLimits(BaseModel):
    """Bounds of one request. Past a body bound the request is refused; past a row bound the row is dead-lettered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: int = Field(default=16 * _MEBIBYTE, gt=0, description="Largest body as received, in bytes.")
    max_decompressed_bytes: int = Field(
        default=64 * _MEBIBYTE, gt=0, description="Largest body after decompression, in bytes."
    )
    max_rows: int = Field(default=500_000, gt=0, description="Most rows of one body.")
    earliest: AwareDatetime = Field(
        default=datetime(2000, 1, 1, tzinfo=UTC), description="Oldest timestamp accepted (event time)."
    )
    max_future_s: float = Field(
        default=86_400.0, ge=0, description="How far a timestamp may lie after its receipt, in seconds."
    )

    @property
    def earliest_us(self) -> int:
        """`earliest` in microseconds since the epoch."""
        since = self.earliest - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    def latest_us(self, now_us: int) -> int:
        """Newest timestamp accepted of a body received at `now_us`; both in microseconds since the epoch."""
        return now_us + round(self.max_future_s * 1e6)
