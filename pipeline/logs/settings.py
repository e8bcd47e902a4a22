"""How log lines look, and which are written."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class LoggingSettings(BaseModel):
    """Of the platform's process, the actors and the processes of the HTTP API; the access log has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["text", "json"] = "text"
    """A line of text for people, or an object of JSON for machines, one a line."""
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """canfleet's own messages below it are left out; of other libraries, those below WARNING always are."""
