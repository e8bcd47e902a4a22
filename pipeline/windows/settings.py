"""How long the sliding windows are and how late a value may be."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class WindowSettings(BaseModel):
    """Sliding windows in event time, per vehicle and signal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    length_s: float = Field(default=10.0, gt=0)
    """How much time one window covers; a multiple of the slide."""
    slide_s: float = Field(default=1.0, ge=0.001, le=2000)
    """How far apart windows begin."""
    lateness_s: float = Field(default=5.0, ge=0)
    """How far behind its vehicle's newest frame a value may be before its windows may close without it."""

    @model_validator(mode="after")
    def _whole_panes(self) -> Self:
        if self.length_us % self.slide_us:
            raise ValueError(f"length_s {self.length_s} is not a multiple of slide_s {self.slide_s}")
        if self.panes > 4096:
            raise ValueError(
                f"{self.panes} panes a series are too many: raise slide_s, or lower length_s or lateness_s"
            )
        return self

    @property
    def length_us(self) -> int:
        """Length in microseconds."""
        return round(self.length_s * 1e6)

    @property
    def slide_us(self) -> int:
        """Slide in microseconds."""
        return round(self.slide_s * 1e6)

    @property
    def lateness_us(self) -> int:
        """Lateness in microseconds."""
        return round(self.lateness_s * 1e6)

    @property
    def panes_per_window(self) -> int:
        """Slides that one window covers."""
        return self.length_us // self.slide_us

    @property
    def panes(self) -> int:
        """Panes a series must keep: a window that the watermark just closed, and all from there to the newest value."""
        return self.panes_per_window + -(-self.lateness_us // self.slide_us) + 1
