"""Replicas by the processor they use: what Serve is told, and what it makes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.platform_client import PlatformClient
from pipeline.config import CanfleetConfig

# Serve's own models warn when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def context(shares: dict[str, float], current: int, target: int | None = None) -> Any:
    metrics = {"busy": shares} if shares else {}
    return SimpleNamespace(
        aggregated_metrics=metrics, current_num_replicas=current, target_num_replicas=target or current
    )


def wanted_by(shares: dict[str, float], current: int, target: int | None = None) -> float:
    from serve.busy import by_busy

    wanted, _ = by_busy(context(shares, current, target))
    return wanted


def test_the_share_is_of_the_time_since_the_last_question() -> None:
    from serve.busy import Busy

    cpu, clock = iter([10.0, 12.0, 12.0, 12.5]), iter([100.0, 104.0, 104.0, 105.0])
    busy = Busy(lambda: next(cpu), lambda: next(clock))
    assert [busy.stats()["busy"] for _ in range(3)] == [0.5, 0.0, 0.5]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_as_many_as_would_be_as_busy_as_they_should(shares: list[float]) -> None:
    from serve.busy import BUSY

    wanted = wanted_by({str(i): share for i, share in enumerate(shares)}, len(shares))
    assert wanted * BUSY == pytest.approx(sum(shares))


def test_what_nobody_knows_changes_nothing() -> None:
    assert wanted_by({}, 2, 3) == 3
    assert wanted_by({"a": 0.9}, 2) == pytest.approx(2 * wanted_by({"a": 0.9}, 1)), "the other one has not told yet"


def test_replicas_scale_only_where_that_is_asked_for() -> None:
    from serve.deploy import build_apps

    def deployments(**server: Any) -> dict[str, Any]:
        config = CanfleetConfig.model_validate({"server": server})
        return {app.name: app.target._bound_deployment for app in build_apps(config, PlatformClient.connect)}  # type: ignore[union-attr]

    fixed = deployments(gateways=2)
    assert {name: one.num_replicas for name, one in fixed.items()} == {"frames": 2, "logs": 1, "query": 1}
    scaled = deployments(gateways=2, max_gateways=8, max_queries=4, cpus_per_replica=1)
    bounds = {name: one._deployment_config.autoscaling_config for name, one in scaled.items()}
    assert {name: one and (one.min_replicas, one.max_replicas) for name, one in bounds.items()} == {
        "frames": (2, 8),
        "logs": None,
        "query": (1, 4),
    }
    assert scaled["frames"].ray_actor_options["num_cpus"] == 1
