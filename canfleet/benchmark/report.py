"""The bars of the benchmark: which figure each one is about, whether it is met, and how people read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table

CORE_HOUR_USD: Final = 0.04
"""What an hour of one core is taken to cost, for the cost of messages."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise, the figure measured for it, and whether that is enough.

    Attributes:
        name: what was measured.
        bound: what it must reach, or stay below where `most` is set.
        figure: what it was.
        unit: of both.
        most: whether `bound` is an upper one.
        holds: further conditions, such as "nothing was lost".
    """

    name: str
    bound: float
    figure: float
    unit: str
    most: bool = False
    holds: bool = True

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.holds and (self.figure < self.bound if self.most else self.figure >= self.bound)

    def as_json(self) -> dict[str, Any]:
        """All of it, with `met`."""
        return asdict(self) | {"met": self.met}


def kernel_bars(kernels: dict[str, Any]) -> list[Bar]:
    """Bars of the numeric core."""
    bars = [Bar(f"decoder against cantools, {one['database']}", 80, one["ratio"], "×") for one in kernels["decoder"]]
    bars.append(
        Bar("decode, duplicates, windows, anomalies on one core", 2e6, kernels["core"]["frames_per_s"], "frames/s")
    )
    return bars + _detection_bars(kernels["detection"], "five minutes of driving")


def load_bars(load: dict[str, Any]) -> list[Bar]:
    """Bars under load; latencies in milliseconds."""
    at = f"at {load['rate']:,.0f} frames/s"
    heard = load["anomalies"]
    seen = heard["seen"] == heard["asked"]
    return [
        Bar(f"acknowledgement, p99 {at}", 50, load["client"]["latency_ms"]["p99"], "ms", most=True),
        Bar(f"anomaly visible live, p99 {at}", 100, heard["live_ms"]["p99"], "ms", most=True, holds=seen),
        Bar(f"visible in ClickHouse, p99 {at}", 2000, load["probe"]["stored_ms"]["p99"], "ms", most=True),
        *_detection_bars(load["detection"], at),
        _nothing_lost(load, at),
    ]


def sustained_bars(sustained: dict[str, Any]) -> list[Bar]:
    """Bars of the sustained run: the rate counts only where it was reached, kept up with, and nothing was lost."""
    rate, reached = sustained["rate"], sustained["acknowledged_per_s"]
    holds = not sustained["backlog"]["growing"] and all(sustained["checks"].values())
    at = f"for {sustained['duration_s']:.0f} s at {rate:,.0f} frames/s"
    return [
        Bar(f"acknowledged and stored {at}", 0.98 * rate, reached, "frames/s", holds=holds),
        _nothing_lost(sustained, at),
    ]


def overload_bars(overload: dict[str, Any]) -> list[Bar]:
    """Bars of the overload run: critical requests get through, normal ones are told when to come again."""
    critical, normal = overload["critical"], overload["normal"]
    at = f"with {overload['rate']:,.0f} frames/s offered"
    told = normal["refused"] == normal["told_when"]
    return [
        Bar(
            f"critical acknowledgement, p99 {at}",
            100,
            critical["latency_ms"]["p99"],
            "ms",
            most=True,
            holds=not critical["refused"],
        ),
        Bar(f"normal requests refused with Retry-After {at}", 1, normal["refused"], "", holds=told),
        _nothing_lost(overload, at),
    ]


def outage_bars(outage: dict[str, Any]) -> list[Bar]:
    """Bars of the outage run: acknowledgements go on, and the backlog drains at three times the arrival rate."""
    at = f"with ClickHouse away for {outage['away_s']:g} s at {outage['rate']:,.0f} frames/s"
    acknowledged = outage["client"]["acknowledged"] == outage["client"]["sent"]
    return [
        Bar(f"frames/s stored after its return, {at}", 3 * outage["rate"], outage["stored_per_s"], "frames/s"),
        Bar(f"requests given up {at}", 1, outage["client"]["failed"], "", most=True, holds=acknowledged),
        _nothing_lost(outage, at),
    ]


def soak_bars(soak: dict[str, Any]) -> list[Bar]:
    """Bars of the long run: no process grows once the fleet is known, and none had to be started again."""
    at = f"{soak['duration_s'] / 60:g} minutes at {soak['rate']:,.0f} frames/s"
    grown = [one["growth"] for one in soak["processes"] if one["growth"] is not None]
    worst = 100 * max(grown, default=0.0)
    lived = bool(grown) and len(grown) == len(soak["processes"])
    return [
        Bar(f"most that a process grew after a sixth of {at}", 10, worst, "%", most=True, holds=lived),
        _nothing_lost(soak, at),
    ]


def _detection_bars(detection: dict[str, Any], where: str) -> list[Bar]:
    overall = detection["overall"]
    if not overall["episodes"]:
        return []
    return [
        Bar(f"injected anomalies found, {where}", 0.95, overall["recall"], ""),
        Bar(f"anomalies raised that are true, {where}", 0.95, overall["precision"], ""),
    ]


def _nothing_lost(run: dict[str, Any], at: str) -> Bar:
    return Bar(
        f"checks that nothing is lost or doubled {at}", len(run["checks"]), sum(run["checks"].values()), "checks"
    )


def cost_per_thousand(run: dict[str, Any]) -> float:
    """US dollars of CPU for 1,000 messages, at `CORE_HOUR_USD`."""
    per_frame_s: float = run["processes"]["total"]["cpu_s_per_million"] / 1e6
    return 1000 * per_frame_s / 3600 * CORE_HOUR_USD


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
    if not run["generator_runs_at_once"]:
        console.print("  [yellow]the load generator may not run at once (CAP_SYS_NICE): its own waits count[/yellow]")
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


def _quantiles(summary: dict[str, float]) -> str:
    return f"p50 {summary['p50']:,.1f} ms, p99 {summary['p99']:,.1f} ms, max {summary['max']:,.1f} ms"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
