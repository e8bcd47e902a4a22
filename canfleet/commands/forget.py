"""`canfleet forget`: erase a vehicle from a running platform."""

from __future__ import annotations

import json
from typing import Annotated, Final
from urllib.parse import quote

import typer

from canfleet import api
from pipeline.errors import CanfleetError

_PATIENCE_S: Final = 120.0
_CALLED: Final = {
    "frames": "frames",
    "signals": "signal values",
    "signals_1m": "rows of the rollup by minute",
    "signals_1h": "rows of the rollup by hour",
    "anomalies": "anomalies",
    "dead_letters": "dead letters",
    "live_signals": "latest values, with windows and baselines",
    "live_sessions": "sessions",
    "live_anomalies": "anomalies in memory",
    "journal_bytes": "bytes of journal, of all vehicles",
}


def forget(
    vehicle: Annotated[str, typer.Argument(metavar="VEHICLE", help="Its id; the VIN, too, where that is replaced.")],
    key: api.AdminKey,
    url: api.Url = api.DEFAULT_URL,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: what is removed cannot be brought back.")] = False,
    as_json: api.Json = False,
) -> None:
    """Erase a vehicle of the key's fleet: live state, checkpoints, journal, ClickHouse, dead letters.

    Says how much was removed where. Repeating it is safe.
    """
    if not yes and not typer.confirm(f"Erase vehicle {vehicle}, for good?", err=True):
        raise CanfleetError(f"vehicle {vehicle} is as it was")
    path = f"/v1/vehicles/{quote(vehicle, safe='')}"
    answer = api.call("DELETE", url, path, key, timeout_s=_PATIENCE_S)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    removed = answer["removed"]
    lines = [f"{removed[place]:>14,} {called}" for place, called in _CALLED.items() if removed[place]]
    typer.echo(f"forgot vehicle {answer['vehicle_id']}:" if lines else f"nothing is known of {answer['vehicle_id']}")
    for line in lines:
        typer.echo(line)
    if answer["rewriting"]:
        typer.echo("no query finds its rows; ClickHouse is still writing its parts anew without them", err=True)
