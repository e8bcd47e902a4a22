"""How soon after each fault the platform acknowledged again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.chaos.client import Client


@dataclass(frozen=True, slots=True)
class Event:
    """A fault that was injected.

    Attributes:
        name: its kind.
        began_s, struck_s: when injecting it began, and when it had happened; on the event loop's clock.
        at_s: `began_s` since the start of the run.
    """

    name: str
    began_s: float
    struck_s: float
    at_s: float


def recoveries(client: Client, events: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """By kind of fault: how often it was injected, how soon it was recovered from, what it cost.

    Returns:
        injected; median_s, p99_s and max_s from the injection to the next acknowledgement; `never` without one;
        `overlapped`: injected while an earlier fault still was not recovered from, and left out of the times; failed:
        requests sent between this fault and the next that three retries did not get through; at_s.
    """
    found: dict[str, dict[str, Any]] = {}
    times: dict[str, list[float]] = {}
    well_since_s = float("-inf")
    ends = [event.began_s for event in events[1:]] + [float("inf")]
    for event, end_s in zip(events, ends, strict=True):
        kind = found.setdefault(event.name, {"injected": 0, "overlapped": 0, "never": 0, "failed": 0, "at_s": []})
        known = times.setdefault(event.name, [])
        after_s = client.recovered_s(event.began_s, event.struck_s)
        kind["injected"] += 1
        kind["at_s"].append(event.at_s)
        kind["failed"] += sum(not sent.in_time and event.began_s <= sent.began_s < end_s for sent in client.requests)
        if after_s is None:
            kind["never"] += 1
            continue
        if event.began_s < well_since_s:
            kind["overlapped"] += 1
        else:
            known.append(after_s)
        well_since_s = max(well_since_s, event.began_s + after_s)
    return {name: kind | _summary(times[name]) for name, kind in found.items()}


def _summary(times_s: list[float]) -> dict[str, float | None]:
    if not times_s:
        return {"median_s": None, "p99_s": None, "max_s": None}
    return {
        "median_s": float(np.median(times_s)),
        "p99_s": float(np.percentile(times_s, 99)),
        "max_s": max(times_s),
    }
