"""`canfleet reconcile`: does ClickHouse hold what the ledger says?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from canfleet import api
from pipeline.errors import CanfleetError

From = Annotated[str | None, typer.Option("--from", help="First hour, RFC 3339; the last 24 hours if absent.")]
To = Annotated[str | None, typer.Option("--to", help="Where to stop, RFC 3339.")]


def reconcile(
    key: api.Key, url: api.Url = api.DEFAULT_URL, start: From = None, end: To = None, as_json: api.Json = False
) -> None:
    """Compare the ledger with counts in ClickHouse; exits 1 with the first difference where they disagree."""
    given = {name: value for name, value in (("from", start), ("to", end)) if value is not None}
    answer = api.get(url, "/v1/ledger/reconciliation", key, given, timeout_s=300)
    if as_json:
        typer.echo(json.dumps(answer))
    elif answer["agrees"]:
        rollups = "rollups exact" if answer["settled"] else "rollups not ahead, values still come"
        typer.echo(f"ledger and ClickHouse agree: {answer['frames']:,} frames from {answer['from']}, {rollups}")
    if not answer["agrees"]:
        raise CanfleetError(f"ledger and ClickHouse disagree: {answer['difference']}")
