"""Which partition actor holds which shard, and the file that says so, for all that start after a crash."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.durable import create_file, sync_directory
from pipeline.errors import ConfigError, JournalError
from pipeline.journal.tenure import Tenure

_NAME = "placement.json"
_FOLDER = "placement"


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


class PlacementWriter:
    """The one that may write the placement of a data directory, until another begins to.

    A directory actor on a node that is cut off believes all others away, and would place their shards on the actors
    beside it, while Ray has started another directory. As with a shard, whoever begins takes a folder over, and what
    the one before writes goes by paths that are no more: see `pipeline.journal.tenure`.
    """

    def __init__(self, data_dir: Path) -> None:
        """Take over from whoever wrote it before. Raises JournalError where the disk refuses."""
        self._path = data_dir / _NAME
        self._tenure = Tenure.begin(data_dir / _FOLDER)

    def check(self) -> None:
        """Raise Fenced where another writes it by now, JournalError where the disk does not say."""
        self._tenure.check()

    def write(self, placement: Placement) -> None:
        """Write a placement: durable and whole on return.

        Raises:
            Fenced: another writes it by now; nothing has changed.
            OSError: the disk refuses.
        """
        fresh = self._tenure.path / _NAME
        try:
            create_file(fresh, [memoryview(json.dumps(_document(placement)).encode())])
            os.replace(fresh, self._path)
        except FileNotFoundError:
            self.check()
            raise
        sync_directory(self._path.parent)


def place(data_dir: Path, placement: Placement) -> None:
    """Write a placement in the place of whoever did before. Raises OSError, or JournalError."""
    PlacementWriter(data_dir).write(placement)


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
    except (OSError, JournalError) as error:
        raise ConfigError(f"{data_dir / _NAME} cannot be written: {error}") from error
    return placement


def _document(placement: Placement) -> dict[str, object]:
    return {"version": placement.version, "actors": placement.actors, "actor_of": placement.actor_of}
