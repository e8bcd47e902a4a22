"""The generated dashboards as Grafana reads them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from deploy.grafana.generate import FOLDER

NAMES = ("anomalies", "fleet", "pipeline", "storage", "vehicle")
CLICKHOUSE = "grafana-clickhouse-datasource"


class Asked(NamedTuple):
    """One statement: of which dashboard, under which heading, in which shape, with what least interval."""

    page: str
    title: str
    sql: str
    is_series: bool
    least_s: int


def page(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def targets(of: dict[str, Any], kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Panels and their targets that ask a data source of this type."""
    return [
        (panel, target)
        for panel in of["panels"]
        for target in panel.get("targets", [])
        if (target.get("datasource") or panel["datasource"])["type"] == kind
    ]


def statements() -> list[Asked]:
    """Every SQL of every dashboard: panels, variables, annotations."""
    found = []
    for name in NAMES:
        of = page(name)
        for panel, target in targets(of, CLICKHOUSE):
            least = {None: 1, "1m": 60}[panel.get("interval")]
            found.append(Asked(name, panel["title"], target["rawSql"], target["format"] == 0, least))
        variables = of["templating"].get("list", [])
        annotations = of["annotations"].get("list", [])
        found += [Asked(name, f"variable {one['name']}", one["query"], False, 1) for one in variables]
        found += [Asked(name, f"annotation {one['name']}", one["target"]["rawSql"], False, 1) for one in annotations]
    return found


def expressions() -> list[tuple[str, str, str]]:
    """Every PromQL of every dashboard: dashboard, panel, expression."""
    return [
        (name, panel["title"], target["expr"]) for name in NAMES for panel, target in targets(page(name), "prometheus")
    ]
