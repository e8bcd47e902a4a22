"""The generated files: up to date, complete, and without names that nobody defines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from grafana_pages import CLICKHOUSE, NAMES, expressions, page, statements, targets

from deploy.grafana.generate import FOLDER, generated
from deploy.grafana.source.prometheus import OF_RAY
from pipeline.metrics import ALL, Kind

PROVISIONING = FOLDER.parent / "provisioning"


def test_the_files_are_what_the_source_generates() -> None:
    texts = generated()
    assert texts == generated()
    assert {path.stem: path.read_text() for path in FOLDER.glob("*.json")} == texts, "run `make dashboards`"
    assert sorted(texts) == list(NAMES)


def test_every_metric_named_in_a_panel_exists() -> None:
    exported = set(OF_RAY)
    for metric in ALL:
        if metric.kind is Kind.HISTOGRAM:
            exported |= {f"ray_{metric.name}_{part}_total" for part in ("bucket", "sum", "count")}
        else:
            exported.add(f"ray_{metric.name}_total" if metric.kind is Kind.COUNTER else f"ray_{metric.name}")
    named = {name for _, _, expression in expressions() for name in re.findall(r"\bray_\w+", expression)}
    assert named <= exported
    assert len(named) >= len(ALL), "every metric of canfleet is worth a panel"
    labels = {label for metric in ALL for label in metric.labels} | {"le", "ip", "Component"}
    for _, _, expression in expressions():
        for group in re.findall(r"by \(([^)]*)\)", expression):
            assert set(re.split(r",\s*", group)) <= labels
        for label in re.findall(r"[{,](\w+)=", expression):
            assert label in labels


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole(name: str) -> None:
    of = page(name)
    assert (of["uid"], of["tags"]) == (f"canfleet-{name}", ["canfleet"])
    numbers = [panel["id"] for panel in of["panels"]]
    assert len(set(numbers)) == len(numbers)
    defined = {one["name"] for one in of["templating"].get("list", [])}
    asked = [
        target.get("rawSql") or target["expr"] for kind in (CLICKHOUSE, "prometheus") for _, target in targets(of, kind)
    ]
    used = {name for text in asked for name in re.findall(r"\$\{?(?!__)(\w+)", text)}
    assert used <= defined
    for panel in of["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert panel["type"] == "row" or panel["targets"], panel["title"]
    for one in re.findall(r"/d/(canfleet-\w+)", str(of)):
        assert one.removeprefix("canfleet-") in NAMES


def test_data_sources_are_provisioned_under_the_names_that_panels_use() -> None:
    [sources] = (yaml.safe_load(path.read_text()) for path in (PROVISIONING / "datasources").iterdir())
    provisioned = {(one["type"], one["uid"]) for one in sources["datasources"]}
    used = {
        (panel["datasource"]["type"], panel["datasource"]["uid"])
        for name in NAMES
        for panel in page(name)["panels"]
        if panel["type"] != "row"
    }
    assert used == provisioned
    [folders] = (yaml.safe_load(path.read_text()) for path in (PROVISIONING / "dashboards").iterdir())
    assert Path(folders["providers"][0]["options"]["path"]).name == FOLDER.name


def test_macros_take_arguments_that_every_release_reads_alike() -> None:
    for one in statements():
        for name, arguments in re.findall(r"\$__(\w+)\(([^()]*.)", one.sql):
            if name != "conditionalAll":
                assert re.fullmatch(r"\w+\)", arguments), f"{one.page}, {one.title}: $__{name}({arguments}"
