"""How people read what the benchmark measured."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Column, Table

from canfleet.benchmark.bars import CORE_HOUR_USD, Bar, cost_per_thousand


def print_bars(console: Console, bars: list[Bar]) -> None:
    """A table of all bars."""
    console.print("\n[bold]Bars[/bold]")
    table = Table(Column(no_wrap=True), "bar", "measured", "", box=None)
    for bar in bars:
        sign = "<" if bar.most else "≥"
        verdict = "[green]met" if bar.met else "[red]missed"
        bound = f"{sign} {_number(bar.bound)} {bar.unit}"
        table.add_row(bar.name, bound.rstrip(), f"{_number(bar.figure)} {bar.unit}".rstrip(), verdict)
    console.print(table)


def print_kernels(console: Console, kernels: dict[str, Any]) -> None:
    """The numeric core in words."""
    console.print("\n[bold]Numeric core[/bold] (one core, CPU time)")
    for one in kernels["decoder"]:
        console.print(
            f"  decoder, {one['database']}: {one['decoder_ns']:.1f} ns a frame "
            f"of {one['values_per_frame']:.1f} values; cantools {one['cantools_ns']:,.0f} ns"
        )
    core = kernels["core"]
    console.print(
        f"  whole core: {core['ns']:.0f} ns a frame, {core['duplicates_ns']:.0f} of them for duplicates; "
        f"{core['frames_per_s']:,.0f} frames/s ({core['wall_frames_per_s']:,.0f} by the clock on the wall)"
    )
    _print_kinds(console, kernels["detection"])


def print_run(console: Console, title: str, run: dict[str, Any]) -> None:
    """A run against the platform in words."""
    traffic = f"{run['rate']:,.0f} frames/s for {run['duration_s']:.0f} s, {run['vehicles']:,} vehicles"
    console.print(f"\n[bold]{title}[/bold]: {traffic}")
    client, backlog = run["client"], run["backlog"]
    lines = {
        "acknowledged": f"{client['acknowledged']:,} frames, {run['acknowledged_per_s']:,.0f} a second; "
        f"{client['refused']} requests refused, {client['retries']} repeated",
        "acknowledgement, from due": _quantiles(client["latency_ms"]),
        "acknowledgement, from sent": _quantiles(client["round_trip_ms"]),
        "backlog": f"{backlog['mean_frames']:,.0f} frames on average, {backlog['most_frames']:,} at most, "
        f"growing by {backlog['growth_per_s']:,.0f} a second; empty {run['stored_after_s']:.1f} s after the end, "
        f"in the rollups after {run['rolled_up_after_s']:.1f} s",
    }
    if "probe" in run:
        heard = run["anomalies"]
        looked_up = f"{heard['seen']} of {heard['asked']} in /v1/anomalies, {_quantiles(heard['lookup_ms'])}"
        lines |= {
            "visible in ClickHouse": f"{_quantiles(run['probe']['stored_ms'])} ({run['probe']['stored']} frames)",
            "anomaly visible live": f"{_quantiles(heard['live_ms'])} ({heard['heard']} anomalies)",
            "looked up at once": looked_up,
        }
    for name, text in lines.items():
        console.print(f"  {name:28} {text}")
    if "detection" in run:
        _print_kinds(console, run["detection"])
    _print_checks(console, run)
    _print_processes(console, run)
    _print_per_thousand(console, run["per_thousand"])


def print_overload(console: Console, run: dict[str, Any]) -> None:
    """The overload run in words."""
    offered = f"{run['rate']:,.0f} frames/s for {run['duration_s']:.0f} s, and critical requests beside them"
    console.print(f"\n[bold]Overload[/bold]: {offered}")
    for name in ("critical", "normal"):
        one = run[name]
        console.print(
            f"  {name:28} {one['requests']:,} requests: {one['refused']:,} refused, {one['told_when']:,} of these with "
            f"Retry-After; {one['accepted']:,} frames accepted; {_quantiles(one['latency_ms'])}"
        )
    _print_generator(console, run)
    memory = run["partition_memory"]
    console.print(
        f"  {'memory of partition actors':28} {memory['start_mib']:,.0f} MiB before, at most "
        f"{memory['first_half_mib']:,.0f} in the first half and {memory['second_half_mib']:,.0f} in the second"
    )
    console.print(
        f"  {'acknowledged':28} {run['accepted_per_s']:,.0f} frames/s of {run['offered_per_s']:,.0f} offered; "
        f"all in ClickHouse {run['stored_after_s']:.1f} s after the end"
    )
    _print_checks(console, run)
    _print_processes(console, run)


def print_small(console: Console, run: dict[str, Any]) -> None:
    """The run with small requests in words."""
    console.print(f"\n[bold]Small requests[/bold]: {run['rate']:,.0f} a second of {run['frames']} frames, as NDJSON")
    others = ", ".join(f"{n:,} answers {status}" for status, n in run["other_answers"].items())
    console.print(
        f"  {'acknowledged':28} {run['acknowledged_per_s']:,.0f} requests/s over {run['connections']} connections; "
        f"{_quantiles(run['latency_ms'])}{'; ' + others if others else ''}"
    )
    _print_generator(console, run)
    _print_checks(console, run)
    _print_processes(console, run)


def print_stream(console: Console, run: dict[str, Any]) -> None:
    """The run with vehicles that stay connected in words."""
    console.print(
        f"\n[bold]WebSockets[/bold]: {run['vehicles']:,} vehicles, one frame each every {1000 * run['interval_s']:g} ms"
    )
    others = ", ".join(f"{n:,} answers {status}" for status, n in run["other_answers"].items())
    console.print(
        f"  {'acknowledged':28} {run['acknowledged_per_s']:,.0f} messages/s of {run['rate']:,.0f}; "
        f"{_quantiles(run['latency_ms'])}{'; ' + others if others else ''}"
    )
    _print_generator(console, run)
    _print_checks(console, run)
    _print_processes(console, run)


def print_outage(console: Console, run: dict[str, Any]) -> None:
    """The outage run in words."""
    console.print(f"\n[bold]ClickHouse away[/bold] for {run['away_s']:g} s at {run['rate']:,.0f} frames/s")
    console.print(f"  {'acknowledgement, from due':28} {_quantiles(run['latency_ms'])} before and meanwhile")
    console.print(
        f"  {'backlog at its return':28} {run['backlog_frames']:,} frames, journal {run['journal_mib']:,.0f} MiB"
    )
    console.print(
        f"  {'drained after':28} {run['drained_after_s']:.1f} s at {run['stored_per_s']:,.0f} frames/s, "
        f"while {run['rate']:,.0f} came"
    )
    _print_checks(console, run)


def print_soak(console: Console, run: dict[str, Any]) -> None:
    """The long run in words."""
    console.print(f"\n[bold]Soak[/bold]: {run['rate']:,.0f} frames/s for {run['duration_s'] / 60:g} minutes")
    table = Table("process", "settled, MiB", "at the end, MiB", "growth", box=None)
    for one in run["processes"]:
        end = ["ended", ""] if one["end_mib"] is None else [f"{one['end_mib']:,.1f}", f"{one['growth']:+.1%}"]
        table.add_row(one["process"], f"{one['settled_mib']:,.1f}", *end)
    console.print(table)
    _print_checks(console, run)


def _print_checks(console: Console, run: dict[str, Any]) -> None:
    for name, holds in run["checks"].items():
        console.print(f"  {'ok  ' if holds else '[red]FAIL[/red]'} {name}")


def _print_generator(console: Console, run: dict[str, Any]) -> None:
    if not run["generator_runs_at_once"]:
        console.print("  [yellow]the load generator may not run at once (CAP_SYS_NICE): its own waits count[/yellow]")


def _print_kinds(console: Console, detection: dict[str, Any]) -> None:
    table = Table("anomalies", "episodes", "recall", "precision", "raised", "false", "secondary", box=None)
    for kind, one in [*detection["kinds"].items(), ("overall", detection["overall"])]:
        numbers = [str(one[name]) for name in ("raised", "false", "secondary")]
        table.add_row(kind, str(one["episodes"]), f"{one['recall']:.3f}", f"{one['precision']:.3f}", *numbers)
    console.print(table)


def _print_processes(console: Console, run: dict[str, Any]) -> None:
    processes = run["processes"]
    table = Table("processes", "CPU s", "cores", "CPU µs a frame", "memory MiB", box=None)
    for role, one in [*processes["roles"].items(), ("platform in all", processes["total"])]:
        table.add_row(
            role,
            f"{one['cpu_s']:.1f}",
            f"{one['cores']:.2f}",
            f"{one['cpu_s_per_million']:.2f}",
            f"{one['rss_mib']:,.0f}",
        )
    console.print(table)
    console.print(f"  other processes on the machine used {processes['other_cores']:.2f} cores meanwhile")
    if processes["total"]["cpu_s"]:
        console.print(
            f"  1,000 messages cost {cost_per_thousand(run) * 1e6:.3f} millionths of a dollar of CPU "
            f"at ${CORE_HOUR_USD} a core-hour"
        )


def _print_per_thousand(console: Console, took: dict[str, Any]) -> None:
    """What 1,000 messages took, beside CPU."""
    stored = took["stored_bytes"]
    largest = ", ".join(f"{name} {size:,.0f}" for name, size in sorted(stored.items(), key=lambda one: -one[1])[:4])
    console.print(
        f"  1,000 messages: {took['requests']:.2f} requests, {took['sent_bytes']:,.0f} bytes sent, "
        f"{sum(stored.values()):,.0f} stored before all parts are merged ({largest})"
    )


def _quantiles(summary: dict[str, float]) -> str:
    return f"p50 {summary['p50']:,.1f} ms, p99 {summary['p99']:,.1f} ms, max {summary['max']:,.1f} ms"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
