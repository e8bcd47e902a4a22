"""Prometheus' rules: valid, tested both ways, on metrics that exist, each alarm with its page."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from alarm_files import (
    CASES,
    OF_HAPROXY,
    OF_PROMETHEUS,
    OF_RAY,
    OF_SERVE,
    PROMETHEUS,
    ROOT,
    RULES,
    RUNBOOKS,
    alerts,
    blocks,
    exported,
    metrics_in,
    recorded,
    rules,
    run,
)

from deploy.grafana.source.prometheus import RECORDED


def cases() -> list[tuple[str, list[dict[str, Any]]]]:
    """Each question of a promtool test: an alarm, and what is expected of it."""
    return [
        (asked["alertname"], asked.get("exp_alerts") or [])
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for asked in test["alert_rule_test"]
    ]


def test_promtool_reads_the_configuration_and_the_rules() -> None:
    run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    run("promtool", "check", "rules", *RULES)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alarms_fire_and_are_silent_as_they_should(path: Any) -> None:
    run("promtool", "test", "rules", path)


def test_each_alarm_has_a_case_that_fires_it_and_one_that_does_not() -> None:
    names = {rule["alert"] for rule in alerts()}
    assert {name for name, expected in cases() if expected} == names
    assert {name for name, expected in cases() if not expected} == names
    # Two rules may share a name, apart by a label: each of them fires.
    labels = {(rule["alert"], *sorted(rule["labels"].items())) for rule in alerts()}
    fired = {
        (name, *sorted((key, one["exp_labels"][key]) for key in ("severity", "window") if key in one["exp_labels"]))
        for name, expected in cases()
        for one in expected
    }
    assert fired == labels


def test_each_alarm_has_a_page_and_each_page_an_alarm() -> None:
    pages = {}
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"]["summary"]
        assert pages.setdefault(rule["annotations"]["runbook"], rule["alert"]) == rule["alert"]
        text = (ROOT / rule["annotations"]["runbook"]).read_text()
        assert text.startswith(f"# {rule['alert']}\n")
        assert f"\n`{rule['labels']['severity']}`. " in text, "the page tells another severity"
    found = {str(path.relative_to(ROOT)) for path in RUNBOOKS.glob("*.md")} - {"docs/runbooks/README.md"}
    assert found == set(pages)
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (RUNBOOKS / "README.md").read_text())
    assert sorted(f"docs/runbooks/{name}" for name in listed) == sorted(pages)


def test_each_page_says_what_it_has_to() -> None:
    for page in RUNBOOKS.glob("[a-z]*.md"):
        text = page.read_text()
        for part in ("**It means.** ", "**Users feel.** ", "\n## Look\n", "\n## Do\n", "**It is over** "):
            assert text.count(part) == 1, f"{page.name}: {part}"


def test_rules_go_by_metrics_that_exist() -> None:
    known = exported() | OF_PROMETHEUS | OF_HAPROXY | OF_RAY | OF_SERVE | recorded()
    for rule in rules():
        assert metrics_in(rule["expr"]) <= known, rule
    expressions = [rule["expr"] for rule in rules()] + [code for _, code in blocks("promql")]
    used = set().union(*map(metrics_in, expressions))
    assert recorded() - used == set(), "recorded and not used"
    assert set(RECORDED) <= recorded()
    labels = {"le", "application", "proxy", "server", "state", "code", "job", "ip", "Component", "shard", "fleet"}
    for rule in rules():
        for group in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
            assert set(re.split(r",\s*", group)) <= labels | {"endpoint"}, rule


def test_the_metrics_of_an_expression_are_found() -> None:
    expression = 'max by (shard) (deriv(a_b{c="d and e"}[30m])) > 1e3 and sum(rate(f:g:h[1h])) offset 6h or vector(0)'
    assert metrics_in(expression) == {"a_b", "f:g:h"}
