"""`python -m deploy.grafana.generate`: write every dashboard as JSON, the same bytes for the same source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.source import anomalies, fleet, pipeline, storage, vehicle

FOLDER: Final = Path(__file__).with_name("dashboards")
"""What Grafana reads."""
DASHBOARDS: Final = {
    "fleet": fleet.dashboard,
    "vehicle": vehicle.dashboard,
    "anomalies": anomalies.dashboard,
    "pipeline": pipeline.dashboard,
    "storage": storage.dashboard,
}


def generated() -> dict[str, str]:
    """The JSON of every dashboard, by name. Panels are numbered in their order, as links and tests need."""
    texts = {}
    for name, dashboard in DASHBOARDS.items():
        page = dashboard().build()
        for number, panel in enumerate(page.panels or [], start=1):
            panel.id_val = number
        texts[name] = json.dumps(page, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return texts


def main() -> None:
    """Write the files."""
    for name, text in generated().items():
        (FOLDER / f"{name}.json").write_text(text)


if __name__ == "__main__":
    main()
