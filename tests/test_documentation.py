"""What the documentation shows works."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline import metrics
from pipeline.config import load_config
from pipeline.metrics import ALL

DOCS = Path(__file__).parents[1] / "docs"


def test_the_configuration_page_is_a_configuration(tmp_path: Path) -> None:
    [document] = re.findall(r"```yaml\n(.*?)```", (DOCS / "configuration.md").read_text(), re.DOTALL)
    path = tmp_path / "canfleet.yaml"
    path.write_text(document)
    config = load_config(path, {})
    assert config.models["truck"].vehicles == ("truck-*",)
    assert config.shard.partitions == 16


def test_the_metrics_page_lists_exactly_the_metrics() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \| (\w+) \| (.*?) \| (.*?) \| (.*) \|$", (DOCS / "metrics.md").read_text(), re.MULTILINE
    )
    assert rows == [(one.name, one.kind, one.unit, ", ".join(one.labels), one.meaning) for one in ALL]
    assert len({one.name for one in ALL}) == len(ALL)
    in_code = {one for one in vars(metrics).values() if isinstance(one, metrics.Metric)}
    assert in_code == set(ALL)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [DOCS.parent / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
