"""`canfleet move`: have a shard held by another partition actor."""

from __future__ import annotations

import json
import time
from typing import Annotated, Final

import typer

from canfleet import api
from pipeline.errors import CanfleetError

_PATIENCE_S: Final = 60.0


def move(
    shard: Annotated[int, typer.Argument(metavar="SHARD", help="Its number, as `canfleet status` shows it.")],
    actor: Annotated[int, typer.Argument(metavar="ACTOR", help="Number of the partition actor that shall hold it.")],
    key: api.AdminKey,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """Move a shard to another partition actor, and wait until it is there. For the bootstrap key."""
    began = time.monotonic()
    answer = api.call("POST", url, f"/v1/shards/{shard}/move", key, body={"actor": actor})
    while not _is_there(url, key, shard, actor):
        if time.monotonic() - began > _PATIENCE_S:
            raise CanfleetError(
                f"shard {shard} is not with actor {actor} after {_PATIENCE_S:g} s: see `canfleet status`"
            )
        time.sleep(0.1)
    took_s = time.monotonic() - began
    if as_json:
        typer.echo(json.dumps(answer | {"took_s": took_s}))
    else:
        typer.echo(f"shard {shard}: actor {answer['held_by']} → {actor} in {took_s:.1f} s")


def _is_there(url: str, key: str, shard: int, actor: int) -> bool:
    found = api.call("GET", url, "/v1/status", key)["shards"][shard]
    return found.get("actor") == actor and "error" not in found
