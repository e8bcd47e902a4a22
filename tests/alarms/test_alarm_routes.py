"""Alertmanager's configuration: who is told of what."""

from __future__ import annotations

import re

import pytest
import yaml
from alarm_files import ALERTMANAGER, alerts, run

RECEIVERS = {"page": "pager", "ticket": "tickets"}


def test_amtool_reads_the_configuration() -> None:
    assert "SUCCESS" in run("amtool", "check-config", ALERTMANAGER)


@pytest.mark.parametrize(("severity", "receiver"), [*RECEIVERS.items(), ("", "tickets"), ("unheard-of", "tickets")])
def test_what_is_a_page_goes_to_the_pager_and_all_else_is_a_ticket(severity: str, receiver: str) -> None:
    told = run(
        "amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", f"severity={severity}", "alertname=A"
    )
    assert told.split() == [receiver]


def test_what_silences_and_what_is_silenced_exists() -> None:
    names = {rule["alert"] for rule in alerts()}
    document = yaml.safe_load(ALERTMANAGER.read_text())
    matchers = [
        matcher
        for rule in document["inhibit_rules"]
        for side in ("source_matchers", "target_matchers")
        for matcher in rule[side]
    ]
    assert len(matchers) >= 2 * len(document["inhibit_rules"])
    for matcher in matchers:
        name, equals, value = re.fullmatch(r'(\w+)(!?=~?)"([^"]*)"', matcher).groups()
        assert name == "alertname"
        parts = value.split("|") if "~" in equals else [re.escape(value)]
        for part in parts:
            assert any(re.fullmatch(part, one) for one in names), matcher
    labels = {"service", "shard"}
    assert {label for rule in document["inhibit_rules"] for label in rule.get("equal", [])} <= labels
