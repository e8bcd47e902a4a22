"""Where things are: the fences that a fleet may know of, and positions compressed for whoever takes them so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from serve_stand_in import BOOTSTRAP, StandIn, bearer, client

from serve.position_routes import GZIP_FROM
from serve.query import build_query_app


def ask(platform: StandIn, path: str, key: str = BOOTSTRAP, **headers: str) -> httpx.Response:
    async def call() -> httpx.Response:
        async with client(build_query_app(platform)) as http:
            return await http.get(path, headers=bearer(key) | headers)

    return asyncio.run(call())


def test_the_fences_of_a_fleet_are_those_it_may_know(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    circle = {"latitude": 48.1, "longitude": 11.5, "radius_m": 250}
    corners = [[48.0, 11.0], [48.1, 11.0], [48.1, 11.2]]
    fences = {"yard": {"polygon": corners}, "depot": {"circle": circle, "margin_m": 5, "fleets": ["north"]}}
    platform.config = platform.config.model_validate({"history": {"geofences": fences}})
    yard = {"name": "yard", "circle": None, "polygon": corners, "margin_m": 30.0}
    depot = {"name": "depot", "circle": circle, "polygon": None, "margin_m": 5.0}
    for fleet, known in (("north", [depot, yard]), ("south", [yard])):
        answer = ask(platform, "/v1/fleet/geofences", platform.key(fleet, "query"))
        assert answer.json() == {"fences": known}


def test_positions_of_many_are_compressed(tmp_path: Path) -> None:
    platform = StandIn(tmp_path)
    path, columns = "/v1/fleet/positions", ("vehicle_id", "last_seen")
    for count, takes, encoding in ((1, "gzip", None), (2000, "gzip", "gzip"), (2000, "identity", None)):
        platform.state = {("default", f"truck-{i}"): {"last_seen": i} for i in range(count)}
        answer = ask(platform, path, **{"Accept-Encoding": takes})
        assert answer.headers.get("content-encoding") == encoding
        assert (int(answer.headers["content-length"]) < len(answer.content)) == (encoding is not None)
        assert (len(answer.content) >= GZIP_FROM) == (count == 2000)
        told = answer.json()
        assert [told[name] for name in columns] == [[f"truck-{i}" for i in range(count)], list(range(count))]
