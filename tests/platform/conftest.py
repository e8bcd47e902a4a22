"""One whole platform, as `canfleet up` starts it, for all tests of the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from platform_data import GNSS, J1939

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


@pytest.fixture
def http(platform: ChildPlatform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": platform.key}, timeout=30) as client:
        yield client


@pytest.fixture
def live_warehouse(platform: ChildPlatform) -> Iterator[Warehouse]:
    connected = Warehouse.connect(WarehouseSettings(url=platform.clickhouse_url))
    yield connected
    connected.close()
