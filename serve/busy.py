"""How busy a replica is, and how many replicas that wants: the policy by which Serve scales them.

By the processor rather than by requests under way: a vehicle's WebSocket and a listener of the live feed are requests
that last for hours and cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

BUSY: Final = 0.6
"""Share of a processor at which a replica is as busy as it should be."""
_METRIC: Final = "busy"


class Busy:
    """The share of one processor that this process used since it was asked last."""

    def __init__(
        self, cpu_s: Callable[[], float] = time.process_time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin now."""
        self._cpu_s = cpu_s
        self._clock = clock
        self._before = cpu_s(), clock()

    def stats(self) -> dict[str, float]:
        """What Serve collects from a replica's `record_autoscaling_stats`."""
        used, now = self._cpu_s(), self._clock()
        used_before, then = self._before
        self._before = used, now
        return {_METRIC: (used - used_before) / (now - then) if now > then else 0.0}


def by_busy(context: AutoscalingContext) -> tuple[float, dict[str, object]]:
    """How many replicas would be `BUSY` with what the present ones do together; those there are while nobody says."""
    shares = (context.aggregated_metrics or {}).get(_METRIC, {})
    if not shares:
        return context.target_num_replicas, {}
    # One that has not told yet does as much as the others.
    return sum(shares.values()) / len(shares) * context.current_num_replicas / BUSY, {}


def autoscaling(least: int, most: int) -> AutoscalingConfig:
    """Between `least` and `most` replicas: more after ten seconds, fewer after five minutes."""
    return AutoscalingConfig(
        min_replicas=least,
        max_replicas=most,
        initial_replicas=least,
        metrics_interval_s=2,
        look_back_period_s=10,
        upscale_delay_s=10,
        downscale_delay_s=300,
        policy=AutoscalingPolicy(policy_function="serve.busy:by_busy"),
    )
