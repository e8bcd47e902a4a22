"""Puts the HTTP face on a running Ray: three Serve applications behind one port."""

from __future__ import annotations

from typing import Any, Final

from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig

from pipeline.config import CanfleetConfig, ServerSettings
from serve.busy import autoscaling
from serve.deployments import Connect, Gateway, Logs, Query

MAX_ONGOING: Final = 4096
"""Requests one replica works on at a time. Memory is bounded by the byte budgets; Serve's default is 5."""

_QUIET: Final = LoggingConfig(enable_access_log=False, log_level="WARNING")


def build_apps(config: CanfleetConfig, connect: Connect) -> list[serve.RunTarget]:
    """The applications with their route prefixes; `connect` runs once in every replica to find the platform.

    Replicas are spread over a cluster's nodes, each of which serves HTTP where it has one.
    """
    server = config.server
    return [
        _target("frames", "/v1/frames", Gateway, connect, server, server.gateways, server.max_gateways),
        _target("logs", "/v1/logs", Logs, connect, server, 1),
        _target("query", "/", Query, connect, server, 1, server.max_queries),
    ]


def start(config: CanfleetConfig, connect: Connect) -> str:
    """Start Serve's HTTP server, deploy all applications, and return the base URL once they run.

    `serve.haproxy.environment` must have been in the environment before Ray started.
    """
    server = config.server
    options = HTTPOptions(host=server.host, port=server.port, keep_alive_timeout_s=75)
    serve.start(http_options=options, logging_config=_QUIET)
    serve.run_many(build_apps(config, connect))
    return server.base_url


def roll(config: CanfleetConfig, connect: Connect) -> None:
    """Replace every replica by a new process while requests flow; returns when the last new one serves.

    A new replica serves before the old one it stands in for is told to go, which then finishes what it has: see
    `max_surge_percent`. New code and a new environment come into force with it, a new configuration does not.
    """
    serve.run_many(build_apps(config, connect))


def stop() -> None:
    """Take all applications down and stop Serve's HTTP server; requests under way may finish."""
    serve.shutdown()


def _target(
    name: str,
    prefix: str,
    deployment: type,
    connect: Connect,
    server: ServerSettings,
    replicas: int,
    most: int | None = None,
) -> serve.RunTarget:
    scale: dict[str, Any] = {"num_replicas": replicas}
    if most is not None and most > replicas:
        scale = {"autoscaling_config": autoscaling(replicas, most)}
    options = serve.deployment(
        name=name,
        **scale,
        max_ongoing_requests=MAX_ONGOING,
        max_surge_percent=100,
        ray_actor_options={"num_cpus": server.cpus_per_replica},
        graceful_shutdown_timeout_s=5,
        health_check_period_s=5,
    )
    return serve.RunTarget(options(deployment).bind(connect), name=name, route_prefix=prefix, logging_config=_QUIET)
