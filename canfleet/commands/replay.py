"""`canfleet replay`: recorded logs against a running platform."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import CanfleetError


def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Logs in any format python-can reads.")],
    key: Annotated[str, typer.Option(envvar="CANFLEET_KEY", help="A key with scope ingest.")],
    url: Annotated[str, typer.Option(help="Base URL of the platform.")] = "http://127.0.0.1:8080",
    vehicle: Annotated[str | None, typer.Option(help="Vehicle id; the file's name without ending if absent.")] = None,
    speed: Annotated[float, typer.Option(min=0.0, help="1 is the recording's pace; 0 is as fast as it can.")] = 0.0,
    start: Annotated[datetime | None, typer.Option(help="When the log began (UTC), if it counts from zero.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send recorded logs; a log sent before adds nothing, for its frames are known."""
    printed: list[dict[str, Any]] = []
    try:
        for path in files:
            begin = start.replace(tzinfo=start.tzinfo or UTC) if start else None
            counts = asyncio.run(
                _replay(path, vehicle or path.name.partition(".")[0], url, key, speed=speed, start=begin)
            )
            printed.append(counts)
            if not as_json:
                typer.echo(
                    f"{path}: {counts['read']:,} frames read, {counts['accepted']:,} accepted, "
                    f"{counts['duplicates']:,} duplicates, {counts['dead_lettered']:,} dead letters"
                    + (f", {counts['skipped']:,} entries without data skipped" if counts["skipped"] else "")
                )
    except CanfleetError as error:
        typer.echo(f"canfleet replay: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        if as_json:
            typer.echo(json.dumps(printed))


async def _replay(
    path: Path, vehicle: str, url: str, key: str, *, speed: float, start: datetime | None
) -> dict[str, Any]:
    from simulator.replay import replay_log
    from simulator.sender import Sender

    async with Sender(url, key) as sender:
        await sender.check()
        read, skipped = await replay_log(path, vehicle, sender, speed=speed, start=start)
        results = await sender.finish()
    if not results.complete:
        missing = results.sent - results.acknowledged
        raise CanfleetError(f"{path}: {missing} frames were not acknowledged: {results.problem}: replay it again")
    return {
        "file": str(path),
        "vehicle_id": vehicle,
        "read": read,
        "skipped": skipped,
        "accepted": results.accepted,
        "duplicates": results.duplicates,
        "dead_lettered": results.dead_lettered,
    }
