"""The console script `canfleet`."""

from __future__ import annotations

import sys

import typer

from canfleet.commands.bench import bench
from canfleet.commands.demo import demo
from canfleet.commands.dlq import dlq_app
from canfleet.commands.down import down
from canfleet.commands.keys import keys_app
from canfleet.commands.reconcile import reconcile
from canfleet.commands.replay import replay
from canfleet.commands.send import send
from canfleet.commands.simulate import simulate
from canfleet.commands.sql import sql
from canfleet.commands.status import status
from canfleet.commands.up import up
from canfleet.commands.upload import upload
from pipeline.errors import CanfleetError

app = typer.Typer(
    help="Telemetry for connected vehicles: CAN frames in over HTTP, answers out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (up, down, status, reconcile, simulate, replay, send, upload, sql, bench, demo):
    app.command(command.__name__)(command)
app.add_typer(keys_app, name="keys")
app.add_typer(dlq_app, name="dlq")


def main() -> None:
    """Run a command; an error that canfleet foresees is one line and exit status 1."""
    try:
        app()
    except CanfleetError as error:
        typer.echo(f"canfleet: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
