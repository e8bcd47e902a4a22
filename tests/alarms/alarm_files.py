"""What lies in deploy/prometheus, deploy/alertmanager and docs/runbooks, as tests read it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.metrics import ALL, Kind

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
CASES = sorted((PROMETHEUS / "tests").glob("*.yml"))
OF_PROMETHEUS = {"up", "scrape_duration_seconds"}
OF_HAPROXY = {"haproxy_server_status", "haproxy_frontend_http_responses_total"}
OF_RAY = {
    "ray_component_uss_bytes",
    "ray_node_mem_used",
    "ray_node_mem_total",
    "ray_node_cpu_utilization",
    "ray_node_disk_io_write_speed",
}
OF_SERVE = {"ray_serve_application_status", "ray_serve_deployment_replica_healthy"}
_WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool"}


def run(tool: str, *arguments: str | Path) -> str:
    """What a program of Debian's packages `prometheus` or `prometheus-alertmanager` says; skips where it is absent."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: apt-get install prometheus prometheus-alertmanager")
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def free_ports(n: int) -> list[int]:
    """Ports of loopback that nobody has."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def rules() -> list[dict[str, Any]]:
    """Every rule of every group."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def exported() -> set[str]:
    """The names that the metrics of `pipeline.metrics` have in Prometheus."""
    names = set()
    for metric in ALL:
        if metric.kind is Kind.HISTOGRAM:
            names |= {f"ray_{metric.name}_{part}_total" for part in ("bucket", "sum", "count")}
        else:
            names.add(f"ray_{metric.name}_total" if metric.kind is Kind.COUNTER else f"ray_{metric.name}")
    return names


def metrics_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression names."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring)\s*\([^)]*\)|\boffset\s+\w+", " ", bare)
    return set(re.findall(r"(?<![\w.:])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()", bare)) - _WORDS


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Every block of code of that language in a runbook: name of the page, code."""
    for page in sorted(RUNBOOKS.glob("*.md")):
        for code in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL):
            yield page.stem, code
