"""Names of the actors, so that any process of the cluster finds them."""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "canfleet"
DIRECTORY: Final = "directory"


def partition_actor(shard: int) -> str:
    """Name of the actor that holds a shard."""
    return f"partitions-{shard}"
