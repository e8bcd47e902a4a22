"""The bars of the benchmark: which figure each one is about, and whether it is met."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

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


def small_bars(small: dict[str, Any]) -> list[Bar]:
    """Bars of the run with small requests."""
    at = f"with {small['rate']:,.0f} requests/s of {small['frames']} frames offered"
    return [
        Bar(f"requests/s acknowledged {at}", 2_500, small["acknowledged_per_s"], "requests/s"),
        Bar(
            f"acknowledgement, p99 {at}",
            100,
            small["latency_ms"]["p99"],
            "ms",
            most=True,
            holds=not small["other_answers"],
        ),
        _nothing_lost(small, at),
    ]


def stream_bars(stream: dict[str, Any]) -> list[Bar]:
    """Bars of the run with vehicles that stay connected."""
    at = f"with {stream['vehicles']:,} WebSockets and a frame on each every {1000 * stream['interval_s']:g} ms"
    sustained = stream["acknowledged_per_s"] >= 0.98 * stream["rate"] and not stream["other_answers"]
    latency = stream["latency_ms"]["p99"]
    return [
        Bar(f"messages/s acknowledged {at}", 0.98 * stream["rate"], stream["acknowledged_per_s"], "messages/s"),
        Bar(f"acknowledgement, p99 {at}", 100, latency, "ms", most=True, holds=sustained),
        _nothing_lost(stream, at),
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
