"""What a run must reach, by kind of user, and where it did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Threshold:
    """Bounds for one kind of user.

    Attributes:
        p99_ms: most for the 99th percentile, from when a request was due until it was acknowledged, tries and all.
        failures: most of the requests that may fail for good, as a ratio.
        share: least of the work due that must be done, as a ratio.
        per_s: least units of work in a second; 0 for no such bound.
    """

    p99_ms: float
    failures: float = 0.0
    share: float = 0.95
    per_s: float = 0.0


THRESHOLDS: Final = {
    "batches": Threshold(p99_ms=500),
    "single": Threshold(p99_ms=500),
    "storm": Threshold(p99_ms=20_000),
    "backfill": Threshold(p99_ms=10_000),
    "readers": Threshold(p99_ms=2_000, failures=0.001),
    "misbehaving": Threshold(p99_ms=5_000),
}
"""The defaults; for a machine with two cores that also runs locust."""
OPTIONS: Final = {
    "--max-p99-ms": "p99_ms",
    "--max-failures": "failures",
    "--min-share": "share",
    "--min-per-s": "per_s",
}
"""Which option sets which bound."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one kind of user did in `seconds`; latencies in milliseconds."""

    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    due: int
    acknowledged: int
    broken: int
    seconds: float

    @property
    def failures(self) -> float:
        """Requests that failed for good, as a ratio."""
        return self.failed / self.requests if self.requests else 0.0

    @property
    def share(self) -> float:
        """Work done of the work due, as a ratio."""
        return self.acknowledged / self.due if self.due else 0.0

    @property
    def per_s(self) -> float:
        """Units of work done in a second."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


def missed(kind: str, threshold: Threshold, measured: Measured) -> list[str]:
    """A line for every bound that `measured` breaks, which names it."""
    if not measured.requests:
        return [f"{kind}: nothing was finished"]
    lines = []
    if measured.p99_ms > threshold.p99_ms:
        lines.append(f"{kind}: p99 is {measured.p99_ms:,.0f} ms, above --max-p99-ms {threshold.p99_ms:,g}")
    if measured.failures > threshold.failures:
        lines.append(
            f"{kind}: {measured.failed:,} of {measured.requests:,} requests failed after retries, a ratio of "
            f"{measured.failures:.4f}, above --max-failures {threshold.failures:g}"
        )
    if measured.share < threshold.share:
        lines.append(
            f"{kind}: {measured.acknowledged:,} of {measured.due:,} due were done, a share of {measured.share:.3f}, "
            f"below --min-share {threshold.share:g}"
        )
    if measured.per_s < threshold.per_s:
        lines.append(f"{kind}: {measured.per_s:,.0f} were done a second, below --min-per-s {threshold.per_s:,g}")
    if measured.broken:
        lines.append(f"{kind}: {measured.broken:,} answers were 500, a fault of the platform")
    return lines


def with_overrides(thresholds: Mapping[str, Threshold], given: Mapping[str, str | None]) -> dict[str, Threshold]:
    """The thresholds with those of the options in `given`, such as `{"--max-p99-ms": "batches=300,single=800"}`.

    A number without a name is for every kind.

    Raises:
        ValueError: there is no such kind, or it is no number.
    """
    changed = dict(thresholds)
    for option, text in given.items():
        for part in filter(None, (text or "").split(",")):
            kind, _, number = part.rpartition("=")
            if kind and kind not in changed:
                raise ValueError(f"{option}: there is no {kind!r}; choose from {', '.join(changed)}")
            try:
                bound: dict[str, Any] = {OPTIONS[option]: float(number)}
            except ValueError:
                raise ValueError(f"{option}: {number!r} is no number") from None
            for name in [kind] if kind else list(changed):
                changed[name] = replace(changed[name], **bound)
    return changed
