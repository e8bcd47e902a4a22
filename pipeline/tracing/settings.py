"""Where spans go, and of how many requests."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TracingSettings(BaseModel):
    """Off without a collector: then nothing of OpenTelemetry is even imported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/]+")
    """Base URL of an OTLP/HTTP collector, such as `http://127.0.0.1:4318`; spans go to `/v1/traces` below it."""
    sample: float = Field(default=0.01, ge=0, le=1)
    """Share of the requests without a `traceparent` that are traced, picked by chance. One that has a `traceparent` is
    traced where its sender says so."""
