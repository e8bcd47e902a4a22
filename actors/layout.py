"""How partitions lie on shards, and the file that keeps a deployment from changing it by accident."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config import CanfleetConfig
from pipeline.durable import create_file, make_directory
from pipeline.errors import ConfigError
from pipeline.types import I32


@dataclass(frozen=True, slots=True)
class Layout:
    """Partitions on shards.

    Attributes:
        partitions: number of partitions, fixed for a deployment.
        shard_of: int32[partitions], the shard of each partition.
        shards: number of shards.
    """

    partitions: int
    shard_of: I32
    shards: int

    @classmethod
    def spread(cls, partitions: int, shards: int) -> Layout:
        """Partitions dealt to shards in turn."""
        return cls(partitions, np.arange(partitions, dtype=np.int32) % np.int32(shards), shards)


def fixed_layout(config: CanfleetConfig) -> Layout:
    """The layout of the data directory; written at the first start, checked at every later one.

    Raises:
        ConfigError: the configuration asks for other numbers than the data was written with, or the file is damaged.
    """
    wanted = {"partitions": config.shard.partitions, "shards": min(config.shard.shards, config.shard.partitions)}
    path = config.data_dir / "deployment.json"
    if path.exists():
        written = _read(path)
        if written != wanted:
            raise ConfigError(
                f"{config.data_dir} was created with {written['partitions']} partitions on {written['shards']} shards, "
                f"not {wanted['partitions']} on {wanted['shards']}: set shard.partitions and shard.shards to those"
            )
    else:
        make_directory(config.data_dir)
        create_file(path, [memoryview(json.dumps(wanted).encode())])
    return Layout.spread(wanted["partitions"], wanted["shards"])


def _read(path: Path) -> dict[str, int]:
    try:
        written = json.loads(path.read_text())
        return {name: int(written[name]) for name in ("partitions", "shards")}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{path} is damaged: write the partitions and shards into it that the data was made with, as in "
            '{"partitions": 16, "shards": 1}'
        ) from error
