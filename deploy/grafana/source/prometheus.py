"""What asks Prometheus. Metrics are the objects of `pipeline.metrics`: a name that does not exist is an error."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from deploy.grafana.source.panels import AnyPanel
from pipeline.metrics import Kind, Metric

SOURCE: Final = DataSourceRef("prometheus", "canfleet-prometheus")

NODE_DISK_FREE: Final = "ray_node_disk_free"
NODE_DISK_USED: Final = "ray_node_disk_usage"
NODE_MEMORY_USED: Final = "ray_node_mem_used"
NODE_CPU: Final = "ray_node_cpu_utilization"
PROCESS_MEMORY: Final = "ray_component_uss_bytes"
OF_RAY: Final = (NODE_DISK_FREE, NODE_DISK_USED, NODE_MEMORY_USED, NODE_CPU, PROCESS_MEMORY)
"""Ray's own metrics that panels show."""

FAILED_RATIO: Final = "service:canfleet_failed_requests:ratio_rate1h"
RECORDED: Final = (FAILED_RATIO,)
"""What deploy/prometheus/rules/recording.yml computes and panels show."""


def exported(metric: Metric) -> str:
    """The name in Prometheus: Ray puts `ray_` before every name and `_total` after a counter's."""
    return f"ray_{metric.name}_total" if metric.kind is Kind.COUNTER else f"ray_{metric.name}"


def quantile(metric: Metric, q: float, by: str = "") -> str:
    """The q-quantile of a metric of durations, over the last minutes, for each value of the label `by`.

    A histogram's buckets are counters of their own, see `actors.metrics`, so Ray puts `_total` after their names too.
    """
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate(ray_{metric.name}_bucket_total[$__rate_interval])))"


def total(metric: Metric, by: str = "", only: str = "") -> str:
    """The sum over all shards and processes, for each value of the label `by`, of series that match `only`."""
    return f"sum{_by(by)} ({_series(metric, only)})"


def per_second(metric: Metric, by: str = "", only: str = "") -> str:
    """How fast a count grows; gauges that are counts included, see docs/metrics.md."""
    return f"sum{_by(by)} (rate({_series(metric, only)}[$__rate_interval]))"


def slope(metric: Metric) -> str:
    """The same of a count that may fall, as accepted frames do where late duplicates are found: `rate` would take that
    for a restart, and add the whole count."""
    return f"sum(deriv({exported(metric)}[$__rate_interval]))"


def worst(metric: Metric, by: str = "shard") -> str:
    """The largest value for each value of the label `by`: processes that know less, or are gone, do not hide it."""
    return f"max by ({by}) ({exported(metric)})"


def asks(panel: AnyPanel, expressions: dict[str, str]) -> AnyPanel:
    """Let a panel show expressions, each under its name; `{{label}}` in a name is the label's value."""
    panel = panel.datasource(SOURCE)
    for number, (name, expression) in enumerate(expressions.items()):
        panel = panel.with_target(
            prometheus.Dataquery().expr(expression).legend_format(name).ref_id(chr(ord("A") + number)).range()
        )
    return panel


def _series(metric: Metric, only: str) -> str:
    return f"{exported(metric)}{{{only}}}" if only else exported(metric)


def _by(label: str) -> str:
    return f" by ({label})" if label else ""
