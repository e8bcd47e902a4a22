"""`canfleet status`: health, partitions, lags and the ledger of a running platform."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Column, Table

from canfleet import api


def status(key: api.Key, url: api.Url = api.DEFAULT_URL, as_json: api.Json = False) -> None:
    """Show how a running platform is."""
    document = api.get(url, "/v1/status", key)
    if as_json:
        typer.echo(json.dumps(document))
        return
    console = Console()
    shards = Table("shard", "vehicles", "journal", "not stored", "not processed", "ClickHouse", box=None)
    for shard in document.get("shards", []):
        if "error" in shard:
            shards.add_row(str(shard["shard"]), "", "", "", "", f"[red]{shard['error']}")
            continue
        sizes = [f"{shard[name] / 2**20:.1f} MiB" if name in shard else "" for name in _SIZES]
        shards.add_row(str(shard["shard"]), f"{shard.get('vehicles', '')}", *sizes, shard["warehouse_error"] or "ok")
    console.print(shards)
    totals = document["ledger"]
    ledger = Table(
        Column("hour (UTC)", no_wrap=True),
        "received",
        "accepted",
        "duplicates",
        "dead-lettered",
        "stored",
        "pending",
        box=None,
    )
    for hour in totals["hours"]:
        ledger.add_row(hour["hour"][:16].replace("T", " "), *(f"{hour[name]:,}" for name in _COUNTS))
    ledger.add_row("all", *(f"{totals[name]:,}" for name in _COUNTS))
    console.print(ledger)
    letters = document["dead_letters"]
    held = "unknown while ClickHouse is away" if letters["held"] is None else f"{letters['held']:,}"
    warning = "; [red]full: requests with bad rows are refused[/]" if letters["full"] else ""
    console.print(f"dead letters held: {held} of at most {letters['max']:,}{warning}", highlight=False)
    console.print(f"frames missing, lost before they reached us: {totals['frames_missing']:,}")


_SIZES = ("journal_bytes", "unstored_journal_bytes", "unprocessed_bytes")
_COUNTS = ("received", "accepted", "duplicates", "dead_lettered", "stored", "pending")
