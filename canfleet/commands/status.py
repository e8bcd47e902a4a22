"""`canfleet status`: health, partitions, lags and the ledger of a running platform."""

from __future__ import annotations

import json
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Column, Table

from canfleet import api

_COLUMNS: Final = ("shard", "actor", "breaker", "vehicles", "journal", "not stored", "not processed", "ClickHouse")


def status(key: api.Key, url: api.Url = api.DEFAULT_URL, as_json: api.Json = False) -> None:
    """Show how a running platform is."""
    document = api.get(url, "/v1/status", key)
    if as_json:
        typer.echo(json.dumps(document))
        return
    console = Console()
    shards = Table(*_COLUMNS, box=None)
    for shard in document.get("shards", []):
        first = str(shard["shard"]), str(shard["actor"]), str(shard["breaker"])
        if "error" in shard:
            shards.add_row(*first, "", "", "", "", f"[red]{shard['error']}")
            continue
        sizes = [f"{shard[name] / 2**20:.1f} MiB" if name in shard else "" for name in _SIZES]
        shards.add_row(*first, f"{shard.get('vehicles', '')}", *sizes, shard["warehouse_error"] or "ok")
    console.print(shards)
    if document["ledger"] is None:
        console.print("ledger: unknown while a shard is away")
    else:
        _show_ledger(console, document["ledger"])
    letters = document["dead_letters"]
    held = "unknown while ClickHouse is away" if letters["held"] is None else f"{letters['held']:,}"
    warning = "; [red]full: requests with bad rows are refused[/]" if letters["full"] else ""
    console.print(f"dead letters held: {held} of at most {letters['max']:,}{warning}", highlight=False)
    cache = document.get("history_cache")
    if cache is not None and cache["hit_rate"] is not None:
        said = f"{cache['hit_rate']:.1%} of {cache['hits'] + cache['misses']:,} questions, {cache['answers']:,} answers"
        console.print(f"history from memory: {said}, {cache['bytes'] / 2**20:.1f} MiB", highlight=False)


def _show_ledger(console: Console, totals: dict[str, Any]) -> None:
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
    console.print(f"frames missing, lost before they reached us: {totals['frames_missing']:,}")


_SIZES = ("journal_bytes", "unstored_journal_bytes", "unprocessed_bytes")
_COUNTS = ("received", "accepted", "duplicates", "dead_lettered", "stored", "pending")
