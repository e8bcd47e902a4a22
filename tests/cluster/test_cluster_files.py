"""The files for a cluster on hosts of one's own are ones that Ray and canfleet take; `make cluster-test` runs them."""

from __future__ import annotations

from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from pipeline.config import load_config
from simulator import FLEET_DBC
from tests.cluster.rendering import CONFIG, rendered_cluster, rendered_config


def test_the_configuration_is_one() -> None:
    config = load_config(CONFIG, {})
    assert config.ray.address == "auto"
    assert config.server.gateways >= config.ray.nodes
    assert config.clickhouse.url is not None


def test_what_the_test_makes_of_the_files_is_what_ray_takes(tmp_path: Path) -> None:
    cluster = rendered_cluster(
        "10.97.0.10", ["10.97.0.11"], tmp_path / "key", {"~/release/canfleet.yaml": CONFIG}, tmp_path, {}, redis=None
    )
    validate_config(prepare_config(cluster))
    for kind in ("head", "worker"):
        start = cluster[f"{kind}_start_ray_commands"][-1]
        assert "canfleet environment" in start
        assert "/srv/canfleet" not in start
    path = tmp_path / "canfleet.yaml"
    path.write_text(yaml.safe_dump(rendered_config("http://10.97.0.1:1", "10.97.0.0/24", tmp_path, FLEET_DBC)))
    assert load_config(path, {}).data_dir == tmp_path / "data"
