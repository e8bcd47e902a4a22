"""`canfleet keys`: API keys of a running platform, over its HTTP API."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from canfleet import api

keys_app = typer.Typer(help="Create, list, revoke and rotate API keys.", no_args_is_help=True)


@keys_app.command()
def create(
    fleet: Annotated[str, typer.Option(help="The fleet the key is for.")],
    key: api.AdminKey,
    scope: Annotated[list[str] | None, typer.Option(help="ingest, query or admin; may be repeated.")] = None,
    vehicle: Annotated[
        list[str] | None,
        typer.Option(help="A vehicle, or a glob, it is bound to; may be repeated. It may then only ingest."),
    ] = None,
    valid_for: Annotated[
        str | None, typer.Option(help="How long it works, such as 90d or 12h; without, for ever.")
    ] = None,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """Make a key and print it: this once, it is stored nowhere.

    Without --scope it may ingest and query; ingest alone if it is bound to vehicles.
    """
    scopes = scope or (["ingest"] if vehicle else ["ingest", "query"])
    wanted: dict[str, Any] = {"fleet": fleet, "scopes": scopes, "vehicles": vehicle or []}
    if valid_for is not None:
        wanted["expires_at"] = time.time_ns() // 1000 + _microseconds(valid_for)
    made = api.call("POST", url, "/v1/keys", key, body=wanted)
    _print_new(made, as_json)


@keys_app.command("list")
def list_keys(
    key: api.AdminKey,
    fleet: Annotated[str | None, typer.Option(help="Only keys of this fleet.")] = None,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """List keys, without their secrets."""
    found = api.call("GET", url, "/v1/keys", key, query={"fleet": fleet})["keys"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("id", "fleet", "may", "created", "last used", "state", box=None)
    for one in found:
        may = " ".join(one["scopes"]) + (f" of {', '.join(one['vehicles'])}" if one["vehicles"] else "")
        table.add_row(one["id"], one["fleet"], may, _when(one["created"]), _when(one["last_used"]), _state(one))
    Console().print(table)


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    key: api.AdminKey,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """Revoke a key; when this returns, it opens nothing any more."""
    revoked = api.call("DELETE", url, f"/v1/keys/{key_id}", key)
    typer.echo(json.dumps(revoked) if as_json else f"revoked {revoked['id']} of fleet {revoked['fleet']}")


@keys_app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    key: api.AdminKey,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """Give a key a new secret and print it; the old one goes on working for an hour."""
    _print_new(api.call("POST", url, f"/v1/keys/{key_id}/rotate", key), as_json)


def _print_new(made: dict[str, Any], as_json: bool) -> None:
    shown = {name: made[name] for name in ("id", "key", "fleet", "scopes")}
    typer.echo(json.dumps(shown) if as_json else made["key"])
    if not as_json:
        typer.echo(f"id {made['id']}, fleet {made['fleet']}, may {', '.join(made['scopes'])}; shown only now", err=True)


def _state(one: dict[str, Any]) -> str:
    if one["revoked_at"]:
        return f"revoked {_when(one['revoked_at'])}"
    if one["expires_at"] is None:
        return "valid"
    return f"{'valid until' if one['expires_at'] > time.time_ns() // 1000 else 'expired'} {_when(one['expires_at'])}"


def _microseconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)(min|h|d)", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no time: say how many min, h or d, as in 90d", param_hint="--valid-for")
    return int(match[1]) * {"min": 60, "h": 3600, "d": 86400}[match[2]] * 1_000_000


def _when(microseconds: int | None) -> str:
    return (
        "never" if microseconds is None else datetime.fromtimestamp(microseconds // 1_000_000, UTC).isoformat(" ")[:16]
    )
