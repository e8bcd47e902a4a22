"""Metrics of one process, handed to Ray, which exports them in Prometheus' text format."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ray.util.metrics import Counter, Gauge

from pipeline.metrics import Metric
from pipeline.observations import Observations

Reading: TypeAlias = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, and a gauge's number."""

EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Observed:
    """A histogram with its labels: what is not told yet, and the counters that are told."""

    observations: Observations
    labels: dict[str, str]
    bucket: Counter
    count: Counter
    sum: Counter

    def tell(self, cumulative: list[int], total: float) -> None:
        for le, n in zip(self.observations.labels, cumulative, strict=True):
            if n:
                self.bucket.inc(n, self.labels | {"le": le})
        self.count.inc(cumulative[-1], self.labels)
        if total > 0:  # Ray refuses a counter that does not grow
            self.sum.inc(total, self.labels)


class Metrics:
    """The shell around Ray's metrics; for any thread. A call costs microseconds: once a batch, never once a frame.

    Ray keeps the first metric of a name, so each is made once, when it is first used. Ray's own histograms are not
    used: its agent repeats every single observation, at 17 µs each.
    """

    def __init__(self) -> None:
        self._made: dict[str, Counter | Gauge] = {}
        self._observed: dict[tuple[str, tuple[str, ...]], _Observed] = {}
        self._lock = threading.Lock()

    def set(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """What a gauge is now."""
        gauge = self._of(metric.name, metric, Gauge)
        assert isinstance(gauge, Gauge)
        gauge.set(value, dict(zip(metric.labels, labels, strict=True)))

    def add(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """What a counter grew by; nothing for 0."""
        if value:
            self._counter(metric.name, metric).inc(value, dict(zip(metric.labels, labels, strict=True)))

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """One observation of a histogram, which is told within `EVERY_S`. A microsecond."""
        with self._lock:
            observed = self._observed.get((metric.name, labels))
            if observed is not None:
                observed.observations.add(value)
                return
        self._begin(metric, labels, value)

    def keep_up(self, read: Callable[[], Iterable[Reading]], name: str) -> None:
        """Set gauges to what `read` says, once a second, from a thread of this name, as long as the process lives."""

        def loop() -> None:
            pause = threading.Event()
            while not pause.wait(EVERY_S):
                for reading in read():
                    self.set(*reading)

        threading.Thread(target=loop, name=name, daemon=True).start()

    def _begin(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        observed = _Observed(
            Observations(metric.bounds),
            dict(zip(metric.labels, labels, strict=True)),
            self._counter(f"{metric.name}_bucket", metric, "le"),
            self._counter(f"{metric.name}_count", metric),
            self._counter(f"{metric.name}_sum", metric),
        )
        with self._lock:
            first = not self._observed
            observed = self._observed.setdefault((metric.name, labels), observed)
            observed.observations.add(value)
        if first:
            threading.Thread(target=self._tell, name="observations", daemon=True).start()

    def _tell(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_S):
            with self._lock:
                taken = [(one, *one.observations.take()) for one in self._observed.values()]
            for observed, cumulative, total in taken:
                if cumulative[-1]:
                    observed.tell(cumulative, total)

    def _counter(self, name: str, metric: Metric, *more_labels: str) -> Counter:
        counter = self._of(name, metric, Counter, *more_labels)
        assert isinstance(counter, Counter)
        return counter

    def _of(self, name: str, metric: Metric, kind: type[Counter] | type[Gauge], *more_labels: str) -> Counter | Gauge:
        with self._lock:
            made = self._made.get(name)
            if made is None:
                made = self._made[name] = kind(name, metric.meaning, tag_keys=(*metric.labels, *more_labels))
            return made
