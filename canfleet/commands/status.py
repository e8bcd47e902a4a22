"""`canfleet status`: health, partitions, lags and the ledger of a running platform, under the names of its metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Column, Table

from canfleet import api
from pipeline import metrics
from pipeline.breaker import State
from pipeline.metrics import Metric

_STATE: Final = ("shard", "actor", "breaker", "ClickHouse")
_LEDGER: Final = "canfleet_ledger_{}_frames"

_Read = Callable[[dict[str, Any]], float]


def status(key: api.Key, url: api.Url = api.DEFAULT_URL, as_json: api.Json = False) -> None:
    """Show how a running platform is. Numbers stand under the names that they have in Prometheus, without `ray_`."""
    document = api.get(url, "/v1/status", key)
    if as_json:
        typer.echo(json.dumps(document))
        return
    show(document, Console(highlight=False))


def show(document: dict[str, Any], console: Console) -> None:
    """Print an answer of `/v1/status` for people."""
    console.print(_states(document["shards"]))
    console.print()
    console.print(_by_metric(document))
    console.print()
    if document["ledger"] is None:
        console.print("ledger: unknown while a shard is away")
    else:
        console.print(_hours(document["ledger"]["hours"]))
    letters = document["dead_letters"]
    held = "unknown while ClickHouse is away" if letters["held"] is None else f"{letters['held']:,}"
    warning = "; [red]full: requests with bad rows are refused[/]" if letters["full"] else ""
    console.print(f"dead letters held: {held} of at most {letters['max']:,}{warning}")


def numbers(document: dict[str, Any]) -> Iterator[tuple[Metric, str]]:
    """Each number of an answer of `/v1/status` for people, with its metric; of shards all of them in a line."""
    for metric, read in _OF_SHARD.items():
        found = []
        for shard in document["shards"]:
            try:
                found.append((shard["shard"], _shown(metric, read(shard))))
            except KeyError:
                continue  # it does not answer, or the key may not see it
        if found:
            yield metric, ", ".join(f"{number}: {shown}" for number, shown in found)
    ledger = document["ledger"]
    if ledger is not None:
        for field, metric in metrics.LEDGER.items():
            yield metric, _shown(metric, ledger[field])
        yield metrics.MISSING, _shown(metrics.MISSING, ledger["frames_missing"])
    letters = document["dead_letters"]
    if letters["held"] is not None:
        yield metrics.LETTERS_FILLED, _shown(metrics.LETTERS_FILLED, letters["held"] / letters["max"])
    cache = document.get("history_cache")
    if cache is not None:
        rate = "" if cache["hit_rate"] is None else f": {cache['hit_rate']:.1%}"
        yield metrics.CACHE_LOOKUPS, f"{cache['hits']:,} hit, {cache['misses']:,} miss{rate}"
        yield metrics.CACHE_BYTES, _shown(metrics.CACHE_BYTES, cache["bytes"])


def _field(name: str) -> _Read:
    return lambda shard: float(shard[name])


_OF_SHARD: Final[dict[Metric, _Read]] = {
    **{metric: _field(field) for field, metric in metrics.OF_STATUS.items()},
    metrics.PARTITION_AWAY: lambda shard: float(shard["breaker"] != State.CLOSED),
    metrics.WAREHOUSE_UP: lambda shard: float(shard["warehouse_error"] is None),
    metrics.BREAKER_OPEN: lambda shard: float(shard["warehouse_breaker"] != State.CLOSED),
}
"""How a metric of shards is read from a shard; raises KeyError where the shard does not tell."""


def _shown(metric: Metric, value: float) -> str:
    match metric.unit:
        case "bytes":
            return f"{value / 2**20:,.1f} MiB"
        case "seconds":
            return f"{value:,.1f} s"
        case "part of 1":
            return f"{value:.1%}"
        case _:
            return f"{value:,.0f}"


def _states(shards: list[dict[str, Any]]) -> Table:
    table = Table(*_STATE, box=None)
    for shard in shards:
        first = str(shard["shard"]), str(shard["actor"]), str(shard["breaker"])
        table.add_row(*first, f"[red]{shard['error']}" if "error" in shard else shard["warehouse_error"] or "ok")
    return table


def _by_metric(document: dict[str, Any]) -> Table:
    table = Table(Column("metric", no_wrap=True), "now, of shards by number", Column("meaning", style="dim"), box=None)
    for metric, shown in numbers(document):
        table.add_row(metric.name, shown, metric.meaning)
    return table


def _hours(hours: list[dict[str, Any]]) -> Table:
    """The last hours of the ledger; each heading is the word that its metric has for it."""
    before, after = _LEDGER.split("{}")
    words = (metric.name.removeprefix(before).removesuffix(after) for metric in metrics.LEDGER.values())
    title = f"{_LEDGER.format('…')} by hour"
    table = Table(Column("hour (UTC)", no_wrap=True), *words, box=None, title=title, title_justify="left")
    for hour in hours:
        table.add_row(hour["hour"][:16].replace("T", " "), *(f"{hour[field]:,}" for field in metrics.LEDGER))
    return table
