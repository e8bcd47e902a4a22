"""Metrics of one process, handed to Ray, which exports them in Prometheus' text format."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from ray.util.metrics import Counter, Gauge, Histogram

from pipeline.metrics import Kind, Metric

Reading: TypeAlias = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, and a gauge's number."""

_TYPES: Final = {Kind.COUNTER: Counter, Kind.GAUGE: Gauge}
EVERY_S: Final = 1.0


class Metrics:
    """The shell around Ray's metrics; for any thread. A call costs microseconds: once a batch, never once a frame.

    Ray keeps the first metric of a name, so each is made once, when it is first used.
    """

    def __init__(self) -> None:
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._lock = threading.Lock()

    def set(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """What a gauge is now."""
        self._of(metric).set(value, dict(zip(metric.labels, labels, strict=True)))

    def add(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """What a counter grew by; nothing for 0."""
        if value:
            self._of(metric).inc(value, dict(zip(metric.labels, labels, strict=True)))

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """One observation of a histogram."""
        self._of(metric).observe(value, dict(zip(metric.labels, labels, strict=True)))

    def keep_up(self, read: Callable[[], Iterable[Reading]], name: str) -> None:
        """Set gauges to what `read` says, once a second, from a thread of this name, as long as the process lives."""

        def loop() -> None:
            pause = threading.Event()
            while not pause.wait(EVERY_S):
                for reading in read():
                    self.set(*reading)

        threading.Thread(target=loop, name=name, daemon=True).start()

    def _of(self, metric: Metric) -> Counter | Gauge | Histogram:
        with self._lock:
            made = self._made.get(metric.name)
            if made is None:
                made = self._made[metric.name] = _make(metric)
            return made


def _make(metric: Metric) -> Counter | Gauge | Histogram:
    if metric.kind is Kind.HISTOGRAM:
        return Histogram(metric.name, metric.meaning, boundaries=list(metric.bounds), tag_keys=metric.labels)
    return _TYPES[metric.kind](metric.name, metric.meaning, tag_keys=metric.labels)
