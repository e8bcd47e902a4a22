"""The commands of the platform, which need all of its libraries; a vehicle has `canfleet upload` without them."""

from __future__ import annotations

import typer

from canfleet.commands.bench import bench
from canfleet.commands.demo import demo
from canfleet.commands.dlq import dlq_app
from canfleet.commands.down import down
from canfleet.commands.environment import environment
from canfleet.commands.export import export
from canfleet.commands.forget import forget
from canfleet.commands.install import install
from canfleet.commands.keys import keys_app
from canfleet.commands.move import move
from canfleet.commands.reconcile import reconcile
from canfleet.commands.replay import replay
from canfleet.commands.schema import schema
from canfleet.commands.send import send
from canfleet.commands.simulate import simulate
from canfleet.commands.smoke import smoke
from canfleet.commands.sql import sql
from canfleet.commands.status import status
from canfleet.commands.storage import storage
from canfleet.commands.up import up
from canfleet.commands.warm import warm


def add_platform_commands(app: typer.Typer) -> None:
    """Add all of them to `app`."""
    running = (up, down, status, smoke, reconcile, forget, move, export, simulate, replay, send, sql, storage, schema)
    for command in (*running, environment, install, warm, bench, demo):
        app.command(command.__name__)(command)
    app.add_typer(keys_app, name="keys")
    app.add_typer(dlq_app, name="dlq")
