"""Whole platforms, as `canfleet up` starts them: one for most tests of the folder, one for those that break it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from platform_data import GNSS, J1939, PARTITIONS

from canfleet.child import ChildPlatform
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings
from simulator import FLEET_DBC

FENCES = {
    "depot": {"circle": {"latitude": 46.5, "longitude": 7.5, "radius_m": 500}, "fleets": ["page"]},
    "region": {"polygon": [[40, 0], [54, 0], [54, 25], [40, 25]], "fleets": ["page"]},
}


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildPlatform]:
    databases = [FLEET_DBC, *(path for path in (GNSS, J1939) if path.exists())]
    folder = tmp_path_factory.mktemp("platform")
    config = folder / "canfleet.yaml"
    config.write_text(json.dumps({"history": {"geofences": FENCES}}))
    options = ["--config", str(config), *(part for path in databases for part in ("--dbc", str(path)))]
    with ChildPlatform(folder / "data", 0, 0, 0, *options) as running:
        yield running


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildPlatform]:
    """Of two shards, which a busy machine does not take from an actor that is stopped: for files in `OWN_PLATFORM`."""
    folder = tmp_path_factory.mktemp("own")
    settings = {"shard": {"shards": 2, "partitions": PARTITIONS}, "scaling": {"away_after_s": 120}}
    (folder / "canfleet.yaml").write_text(json.dumps(settings))
    with ChildPlatform(folder / "data", 0, 0, 0, "--config", str(folder / "canfleet.yaml")) as running:
        yield running


@pytest.fixture
def http(platform: ChildPlatform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": platform.key}, timeout=30) as client:
        yield client


@pytest.fixture
def live_warehouse(platform: ChildPlatform) -> Iterator[Warehouse]:
    connected = Warehouse.connect(WarehouseSettings(url=platform.clickhouse_url))
    yield connected
    connected.close()
