"""Which partition actor holds which shard, and the file that says so, for all that start after a crash."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.durable import create_file, make_directory
from pipeline.errors import ConfigError

_NAME = "placement.json"


@dataclass(frozen=True, slots=True)
class Placement:
    """Shards on actors.

    Attributes:
        version: grows with each change.
        actors: how many partition actors there are, numbered from 0.
        actor_of: the actor of each shard.
    """

    version: int
    actors: int
    actor_of: tuple[int, ...]

    @classmethod
    def dealt(cls, shards: int, actors: int, version: int = 0) -> Placement:
        """Shards dealt to actors in turn."""
        return cls(version, actors, tuple(shard % actors for shard in range(shards)))

    def shards_of(self, actor: int) -> list[int]:
        """The shards of an actor."""
        return [shard for shard, holder in enumerate(self.actor_of) if holder == actor]

    def moved(self, shard: int, actor: int) -> Placement:
        """The same with one shard elsewhere."""
        holders = list(self.actor_of)
        holders[shard] = actor
        return replace(self, version=self.version + 1, actor_of=tuple(holders))

    def of(self, actors: int) -> Placement:
        """The same with another number of actors; raises ValueError where a shard would be left without."""
        if any(holder >= actors for holder in self.actor_of):
            raise ValueError(f"shards are placed on actors beyond the first {actors}: {self.actor_of}")
        return replace(self, version=self.version + 1, actors=actors)


def placed(data_dir: Path) -> Placement:
    """The placement in a data directory.

    Raises:
        ConfigError: it is missing or damaged; a start of the platform writes another.
    """
    path = data_dir / _NAME
    try:
        document = json.loads(path.read_text())
        return Placement(
            int(document["version"]), int(document["actors"]), tuple(int(actor) for actor in document["actor_of"])
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): remove it, and start the platform again") from error


def place(data_dir: Path, placement: Placement) -> None:
    """Write a placement: durable and whole on return. Raises OSError."""
    make_directory(data_dir)
    create_file(data_dir / _NAME, [memoryview(json.dumps(_document(placement)).encode())])


def place_at_start(data_dir: Path, shards: int, min_actors: int, max_actors: int) -> Placement:
    """The placement with which a platform starts: that of its last run where it still fits, else an even one.

    Raises:
        ConfigError: what the last run left is damaged, or cannot be written.
    """
    before = placed(data_dir) if (data_dir / _NAME).exists() else None
    if before is not None and len(before.actor_of) == shards and min_actors <= before.actors <= max_actors:
        return before
    placement = Placement.dealt(shards, min_actors, 0 if before is None else before.version + 1)
    try:
        place(data_dir, placement)
    except OSError as error:
        raise ConfigError(f"{data_dir / _NAME} cannot be written: {error}") from error
    return placement


def _document(placement: Placement) -> dict[str, object]:
    return {"version": placement.version, "actors": placement.actors, "actor_of": placement.actor_of}
