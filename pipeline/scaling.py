"""How many partition actors there may be, and when there should be more or fewer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ScalingSettings(BaseModel):
    """Bounds and thresholds. Without bounds there is one actor for each shard, and nothing moves unless it must."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_actors: int | None = Field(default=None, ge=1)
    """Fewest partition actors; as many as shards where absent."""
    max_actors: int | None = Field(default=None, ge=1)
    """Most of them; as many as shards where absent, and never more."""
    frames_per_second: float = Field(default=50_000, gt=0)
    """What one actor is meant to take; above it another one starts, and shards move there."""
    fewer_after_s: float = Field(default=300, ge=0)
    """So long the load must have been that of fewer actors before one of them ends."""
    look_every_s: float = Field(default=5, gt=0)
    """How often loads are looked at."""
    cpus_per_actor: float = Field(default=0.01, ge=0)
    """Processors that Ray reserves for each: with 1, Ray's autoscaler adds nodes for actors that find no room. With 0
    Ray would place them by chance, not evenly."""
    away_after_s: float = Field(default=10, gt=0)
    """An actor that has not answered for so long loses its shards to the others, if there are any."""

    def bounds(self, shards: int) -> tuple[int, int]:
        """Fewest and most actors of a platform of `shards`."""
        most = min(self.max_actors or shards, shards)
        return min(self.min_actors or shards, most), most
