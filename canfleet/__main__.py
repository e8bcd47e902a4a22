"""The console script `canfleet`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated

import typer

from canfleet.commands.upload import upload
from pipeline.errors import CanfleetError

app = typer.Typer(
    help="Telemetry for connected vehicles: CAN frames in over HTTP, answers out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
if find_spec("ray") is not None:
    from canfleet.commands.platform import add_platform_commands

    add_platform_commands(app)
app.command("upload")(upload)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("canfleet"))
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep `upload` a command of its own where it is the only one."""


def main() -> None:
    """Run a command; an error that canfleet foresees is one line and exit status 1."""
    try:
        app()
    except CanfleetError as error:
        typer.echo(f"canfleet: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
