"""`canfleet send`: one Arrow file of frames, as it is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import CanfleetError


def send(
    file: Annotated[Path, typer.Argument(metavar="FILE.arrow", help="An Arrow IPC stream or file of frames.")],
    key: Annotated[str, typer.Option(envvar="CANFLEET_KEY", help="A key with scope ingest.")],
    url: Annotated[str, typer.Option(help="Base URL of the platform.")] = "http://127.0.0.1:8080",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send one Arrow file of frames and print the server's counts."""
    try:
        counts = asyncio.run(_send(file, url, key))
    except CanfleetError as error:
        typer.echo(f"canfleet send: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(counts))
    else:
        typer.echo(
            f"{file}: {counts['received']:,} frames received, {counts['accepted']:,} accepted, "
            f"{counts['duplicates']:,} duplicates, {counts['dead_lettered']:,} dead letters"
        )


async def _send(file: Path, url: str, key: str) -> dict[str, int]:
    from simulator.arrow_file import read_body
    from simulator.sender import Sender

    body = read_body(file)
    async with Sender(url, key, connections=1) as sender:
        await sender.check()
        await sender.submit(body)
        results = await sender.finish()
    if not results.complete:
        raise CanfleetError(f"{file} was not acknowledged: {results.problem}: send it again, nothing is stored twice")
    return {
        "received": results.acknowledged,
        "accepted": results.accepted,
        "duplicates": results.duplicates,
        "dead_lettered": results.dead_lettered,
    }
