"""`canfleet export`: the stored frames of a vehicle, as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, get_args
from urllib.parse import quote

import typer

from canfleet import api
from pipeline.errors import CanfleetError
from pipeline.history.log_files import Format

_PATIENCE_S: Final = 400.0


def export(
    vehicle: Annotated[str, typer.Argument(metavar="VEHICLE", help="Its id.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its ending says the format: .parquet .asc .blf .mf4")],
    key: api.Key,
    start: Annotated[str | None, typer.Option("--from", help="RFC 3339; an hour before the end if absent.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="RFC 3339; now if absent.")] = None,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """Write the stored frames of a vehicle to a file, in order of time."""
    form = file.suffix.lower().removeprefix(".")
    if form not in get_args(Format):
        endings = ", ".join(f".{known}" for known in get_args(Format))
        raise CanfleetError(f"{file} has an ending that names no format: it must be one of {endings}")
    path = f"/v1/vehicles/{quote(vehicle, safe='')}/export"
    query = {"from": start, "to": end, "format": form}
    size = api.download(url, path, key, query, file, _PATIENCE_S)
    if as_json:
        typer.echo(json.dumps({"vehicle_id": vehicle, "file": str(file), "format": form, "bytes": size}))
    else:
        typer.echo(f"{file}: {size:,} bytes")
