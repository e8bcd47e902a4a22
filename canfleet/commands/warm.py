"""`canfleet warm`: compiles the numeric kernels on a host ahead of time, for a cluster's setup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canfleet.commands.up import with_demo_database
from pipeline.config import load_config


def warm(config: Annotated[Path | None, typer.Option(help="The platform's configuration.")] = None) -> None:
    """Compile everything that frames pass through, so that a shard that comes to this host need not wait for it."""
    from pipeline.decode.databases import load_catalogue
    from pipeline.frames import body
    from pipeline.shard.warm import warm as warm_shard

    settings = with_demo_database(load_config(config, {}))
    body.warm()
    warm_shard(settings, load_catalogue(settings.profiles()))
