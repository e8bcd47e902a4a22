"""`canfleet environment`: what must stand in the environment of a node before `ray start`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from canfleet import api


def environment(
    config: Annotated[Path | None, typer.Option(help="The platform's configuration.")] = None,
    folder: Annotated[
        Path, typer.Option(help="For HAProxy's files: 27 characters at most, and there while Ray runs.")
    ] = Path("/tmp/canfleet-node"),
    as_json: api.Json = False,
) -> None:
    """Print the environment of a cluster's node as lines for a shell: `eval "$(canfleet environment)"; ray start …`.

    The same on every node. Without a cluster it is not needed: `canfleet up` sets it for the Ray that it starts.
    """
    from canfleet.environment import NODE_PORTS, ray_environment
    from pipeline.config import load_config

    wanted = ray_environment(folder, load_config(config, {}), os.environ, NODE_PORTS)
    if as_json:
        typer.echo(json.dumps(wanted))
    else:
        for name, value in wanted.items():
            typer.echo(f"export {name}={shlex.quote(value)}")
