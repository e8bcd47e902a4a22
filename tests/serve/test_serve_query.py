"""The query application as pure HTTP: answers, fleets kept apart, keys, health, the page, and its description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import RayActorError
from serve_stand_in import BOOTSTRAP, StandIn, bearer, check_problem, client

from pipeline.clickhouse.history import History
from pipeline.clickhouse.queries import Queries
from pipeline.errors import JournalError, WarehouseAway, WarehouseError
from serve import cached_answer, history_routes
from serve.access import Access
from serve.fleet_routes import merge
from serve.moments import moment, span
from serve.problems import ProblemError
from serve.query import build_query_app
from serve.rate_limits import RateLimits

NOON = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z


def anomaly(timestamp: int = NOON, kind: str = "stuck", **changed: Any) -> dict[str, Any]:
    made = {
        "id": f"{timestamp}{kind}",
        "fleet": "north",
        "vehicle_id": "v1",
        "timestamp": timestamp,
        "detected_at": timestamp,
        "kind": kind,
    }
    return made | {"signal": "Speed", "value": 1.0, "score": 2.0, "detail": ""} | changed


@pytest.fixture
def platform(tmp_path: Path) -> StandIn:
    stand_in = StandIn(tmp_path)
    signal = {"message": "M", "signal": "Speed", "value": float("nan"), "unit": "km/h", "timestamp": NOON, "window": {}}
    stand_in.state["north", "v1"] = {"vehicle_id": "v1", "last_seen": NOON, "signals": [signal]}
    stand_in.state["south", "v2"] = {"vehicle_id": "v2", "last_seen": NOON, "signals": []}
    return stand_in


@pytest.fixture
def ask(platform: StandIn) -> Callable[..., httpx.Response]:
    north = platform.key("north", "query")

    def send(path: str, key: str | None = None, method: str = "GET", **request: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with client(build_query_app(platform)) as http:
                return await http.request(method, path, headers=bearer(key or north), **request)

        return asyncio.run(call())

    return send


GETS = [
    "/v1/vehicles",
    "/v1/vehicles/v1/latest",
    "/v1/vehicles/v1/signals/Speed",
    "/v1/vehicles/v1/signals?signal=Speed",
    "/v1/vehicles/v1/trips",
    "/v1/vehicles/v1/geofences",
    "/v1/vehicles/v1/export",
    "/v1/fleet/signals/Speed",
    "/v1/fleet/geofences",
    "/v1/fleet/summary",
    "/v1/anomalies",
    "/v1/ledger",
    "/v1/ledger/reconciliation",
    "/v1/vehicles/v1/gaps",
    "/v1/live",
    "/v1/status",
]


@pytest.mark.parametrize("path", [*GETS, "/v1/keys"])
def test_every_endpoint_wants_a_key_with_the_right_scope(platform: StandIn, ask: Any, path: str) -> None:
    answer = ask(path, "cf_abcdefghijkl_wrong")
    check_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    check_problem(ask(path, platform.key("north", "ingest")), 403, "forbidden")


def test_vehicles_are_those_of_the_fleet(ask: Any) -> None:
    assert ask("/v1/vehicles").json() == {"vehicles": [{"vehicle_id": "v1", "last_seen": NOON, "frames": 1}]}


def test_many_who_look_at_one_fleet_cost_one_look(platform: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_answer, "LIVE_S", 600.0)
    headers = bearer(platform.key("north", "query"))

    async def looks() -> None:
        async with client(build_query_app(platform)) as http:
            first = await http.get("/v1/vehicles", headers=headers)
            platform.state["north", "v3"] = {"vehicle_id": "v3", "last_seen": NOON, "signals": []}
            again = await http.get("/v1/vehicles", headers=headers)
            assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
            named = await http.get("/v1/vehicles", headers=headers | {"If-None-Match": first.headers["etag"]})
            assert (named.status_code, named.content) == (304, b"")
            anew = await http.get("/v1/vehicles", headers=headers | {"Cache-Control": "no-cache"})
            assert [vehicle["vehicle_id"] for vehicle in anew.json()["vehicles"]] == ["v1", "v3"]
            south = await http.get("/v1/vehicles", headers=bearer(platform.key("south", "query")))
            assert [vehicle["vehicle_id"] for vehicle in south.json()["vehicles"]] == ["v2"]

    asyncio.run(looks())


def test_latest_turns_nan_into_null(ask: Any) -> None:
    [signal] = ask("/v1/vehicles/v1/latest").json()["signals"]
    assert signal["value"] is None
    assert ask("/v1/fleet/summary").json()["frames_per_second"] is None


def test_another_fleets_vehicle_looks_like_none(ask: Any) -> None:
    for end in ("latest", "signals/Speed", "signals?signal=Speed", "gaps", "trips", "geofences", "export"):
        path = "/v1/vehicles/{}/" + end
        foreign = check_problem(ask(path.format("v2")), 404, "not-found")["detail"]
        unknown = check_problem(ask(path.format("vX")), 404, "not-found")["detail"]
        assert foreign.replace("v2", "vX") == unknown


def test_history_reaches_the_warehouse_with_microseconds(
    platform: StandIn, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def history(  # with the parameters of the real one, so that a call it would refuse fails here too
        _: object,
        fleet: str,
        vehicle_id: str,
        signals: tuple[str, ...],
        *,
        start: int,
        end: int,
        step: int | None = None,
        message: str | None = None,
    ) -> History:
        asked.append((fleet, vehicle_id, signals, start, end, step, message))
        return History("1m", 60_000_000, pa.table({"timestamp": pa.array([], pa.int64())}))

    monkeypatch.setattr(history_routes, "stored_history", history)
    answer = ask("/v1/vehicles/v1/signals/Speed?from=2026-01-31T12:00:00Z&to=2026-01-31T14:00:00+01:00&step=60")
    assert answer.status_code == 200
    assert asked[0] == ("north", "v1", ("Speed",), NOON, NOON + 3_600_000_000, 60_000_000, None)
    assert (answer.json()["resolution"], answer.json()["step"]) == ("1m", 60)


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-01-31T12:00:00",
        "to=1e9",
        "from=10&to=10",
        "step=-1",
        "step=0",
        "step=5x",
        "from=11&to=10",
    ],
)
def test_a_range_that_makes_no_sense(ask: Any, query: str) -> None:
    check_problem(ask(f"/v1/vehicles/v1/signals/Speed?{query}"), 400, "bad-request")


@given(st.integers(0, 1 << 53))
def test_a_moment_reads_back(moment_us: int) -> None:
    assert moment(str(moment_us), "from") == moment_us


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T12:00:00.000001Z", NOON + 1),
        ("2026-01-31T13:30:00+01:30", NOON),
        ("2026-01-31T13:30:00 01:30", NOON),
        ("2026-01-31t12:00:00z", NOON),
        ("", None),
        (None, None),
    ],
)
def test_moments(text: str | None, microseconds: int | None) -> None:
    assert moment(text, "from") == microseconds


@pytest.mark.parametrize(
    "text", ["noon", "2026-01-31", "9" * 19, "9" * 16, "-1", "1969-01-01T00:00:00Z", "2026-02-30T00:00:00Z"]
)
def test_no_moments(text: str) -> None:
    with pytest.raises(ProblemError):
        moment(text, "from")


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("60", 60_000_000),
        ("0.5", 500_000),
        ("500ms", 500_000),
        ("5m", 300_000_000),
        ("1d", 86_400_000_000),
        (None, None),
    ],
)
def test_spans(text: str | None, microseconds: int | None) -> None:
    assert span(text, "step") == microseconds


def test_anomalies_live_and_stored_are_merged(platform: StandIn, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.live_anomalies = [anomaly(NOON + 2), anomaly(NOON + 1, detail="still going on")]
    stored = [anomaly(NOON + 1, detail="began"), anomaly(NOON)]
    monkeypatch.setattr(Queries, "anomalies", lambda *_, **__: stored)
    answer = ask("/v1/anomalies").json()
    assert [(one["timestamp"] - NOON, one["detail"]) for one in answer["anomalies"]] == [
        (2, ""),
        (1, "still going on"),
        (0, ""),
    ]
    assert answer["partial"] is False
    assert len(ask("/v1/anomalies?limit=2").json()["anomalies"]) == 2
    check_problem(ask("/v1/anomalies?limit=0"), 400, "bad-request")
    check_problem(ask("/v1/anomalies?from=2&to=1"), 400, "bad-request")


def test_without_clickhouse_anomalies_and_history_are_partial_and_say_so(
    platform: StandIn, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise WarehouseAway("connection refused")

    monkeypatch.setattr(Queries, "anomalies", away)
    monkeypatch.setattr(history_routes, "stored_history", away)
    platform.live_anomalies = [anomaly()]
    answer = ask("/v1/anomalies").json()
    assert len(answer["anomalies"]) == 1
    assert answer["partial"] is True
    assert "ClickHouse" in answer["reason"]
    latest = ask("/v1/vehicles/v1/latest").json()["signals"][0]
    at, name = latest["timestamp"], latest["signal"]
    history = ask(f"/v1/vehicles/v1/signals/{name}?from={at}&to={at + 1}").json()
    assert (history["partial"], history["resolution"]) == (True, "raw")
    assert "ClickHouse" in history["reason"]
    assert [(point["timestamp"], point["value"]) for point in history["points"]] == [(at, latest["value"])]
    assert ask(f"/v1/vehicles/v1/signals/{name}?from={at + 1}&to={at + 2}").json()["points"] == []


def test_a_query_clickhouse_refuses_is_502(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise WarehouseError("Code: 60")

    monkeypatch.setattr(history_routes, "stored_history", refuse)
    check_problem(ask("/v1/vehicles/v1/signals/Speed"), 502, "warehouse-error")


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"))),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"))),
    st.integers(1, 30),
)
def test_merging_lists_each_identity_once_newest_first(
    live: list[tuple[int, str]], stored: list[tuple[int, str]], limit: int
) -> None:
    merged = merge([anomaly(t, k) for t, k in live], [anomaly(t, k) for t, k in stored], limit)
    found = [(one["timestamp"], one["kind"]) for one in merged]
    everything = set(live) | set(stored)
    assert len(found) == len(set(found)) == min(limit, len(everything))
    assert [t for t, _ in found] == sorted((t for t, _ in everything), reverse=True)[:limit]


def test_status_is_for_operators_and_names_the_own_ledger(platform: StandIn, ask: Any) -> None:
    shard = {"shard": 0, "warehouse_error": "ClickHouse takes nothing at present"}
    answer = ask("/v1/status").json()
    assert (answer["shards"], answer["ledger"]["fleet"], answer["ledger"]["received"]) == ([shard], "north", 0)
    assert answer["dead_letters"] == {"held": 0, "max": 1_000_000, "full": False}
    everything = {
        "shard": 0,
        "unprocessed_bytes": 5,
        "vehicles": 7,
        "warehouse_error": "Column values: vehicle_id = 'x'",
    }
    assert ask("/v1/status", BOOTSTRAP).json()["shards"] == [everything]
    assert ask("/v1/status", platform.key("north", "admin")).status_code == 200
    platform.fail_status = JournalError("No space left on device")
    check_problem(ask("/v1/status"), 503, "overloaded")
    platform.fail_status = RayActorError()
    check_problem(ask("/v1/status"), 503, "unavailable")
    platform.fail_status = KeyError("ours")
    check_problem(ask("/v1/status"), 500, "internal-error")


def test_health_needs_no_key(platform: StandIn, ask: Any) -> None:
    assert ask("/healthz", "none").json() == {"status": "alive"}
    assert ask("/readyz", "none").json() == {"ready": True, "reasons": []}
    platform.reasons = ["shard 1 recovers"]
    answer = ask("/readyz", "none")
    assert check_problem(answer, 503, "not-ready")["reasons"] == ["shard 1 recovers"]
    assert answer.headers["retry-after"] == "1"


def test_unknown_paths_and_methods(ask: Any) -> None:
    check_problem(ask("/v1/nothing"), 404, "not-found")
    check_problem(ask("/v1/ledger", method="DELETE"), 405, "method-not-allowed")


# Keys --------------------------------------------------------------------------------------------


def test_a_key_lives_through_create_use_rotate_revoke(platform: StandIn, ask: Any) -> None:
    made = ask("/v1/keys", BOOTSTRAP, "POST", json={"fleet": "north", "scopes": ["query", "ingest"]})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    assert (key["fleet"], key["scopes"]) == ("north", ["ingest", "query"])
    assert ask("/v1/vehicles", key["key"]).status_code == 200
    rotated = ask(f"/v1/keys/{key['id']}/rotate", BOOTSTRAP, "POST").json()
    assert rotated["key"] != key["key"]
    assert ask("/v1/vehicles", rotated["key"]).status_code == ask("/v1/vehicles", key["key"]).status_code == 200
    assert ask(f"/v1/keys/{key['id']}", BOOTSTRAP, "DELETE").json()["revoked_at"]
    check_problem(ask("/v1/vehicles", rotated["key"]), 401, "unauthenticated")
    listed = ask("/v1/keys?fleet=north", BOOTSTRAP).json()["keys"]
    assert key["id"] in [one["id"] for one in listed]
    assert "digest" not in json.dumps(listed)
    check_problem(ask(f"/v1/keys/{key['id']}/rotate", BOOTSTRAP, "POST"), 404, "not-found")


def test_an_admin_manages_the_own_fleet_alone(platform: StandIn, ask: Any) -> None:
    admin = platform.key("north", "admin")
    foreign = platform.store.create("south", ["query"]).record.id
    wanted = {"fleet": "south", "scopes": ["query"]}
    check_problem(ask("/v1/keys", admin, "POST", json=wanted), 403, "forbidden")
    check_problem(ask("/v1/keys?fleet=south", admin), 403, "forbidden")
    check_problem(ask(f"/v1/keys/{foreign}", admin, "DELETE"), 404, "not-found")
    check_problem(ask(f"/v1/keys/{foreign}/rotate", admin, "POST"), 404, "not-found")
    assert ask("/v1/keys", admin, "POST", json=wanted | {"fleet": "north"}).status_code == 201
    assert {one["fleet"] for one in ask("/v1/keys", admin).json()["keys"]} == {"north"}
    assert {one["fleet"] for one in ask("/v1/keys", BOOTSTRAP).json()["keys"]} == {"default", "north", "south"}


@pytest.mark.parametrize(
    "wanted",
    [{}, {"fleet": "north", "scopes": []}, {"fleet": "", "scopes": ["query"]}, {"fleet": "n", "scopes": ["x"]}],
)
def test_a_key_that_makes_no_sense(ask: Any, wanted: Any) -> None:
    check_problem(ask("/v1/keys", BOOTSTRAP, "POST", json=wanted), 400, "bad-request")
    check_problem(ask("/v1/keys", BOOTSTRAP, "POST", content=b"{"), 400, "bad-request")


def test_a_key_works_at_once_and_guesses_share_one_look(platform: StandIn) -> None:
    async def scenario() -> None:
        access = Access(platform, RateLimits(platform))
        await access.identify(None, BOOTSTRAP, "a")
        fresh = platform.key("north", "query")
        assert (await access.identify(None, fresh, "a")).fleet == "north"
        before = platform.key_reads
        guesses = [access.identify(None, f"guess {i}", f"address {i}") for i in range(200)]
        assert all(isinstance(one, ProblemError) for one in await asyncio.gather(*guesses, return_exceptions=True))
        assert platform.key_reads - before <= 2

    asyncio.run(scenario())


def test_a_new_key_is_nobody_without_a_key_however_many_guess_from_its_address(platform: StandIn) -> None:
    async def scenario() -> None:
        access = Access(platform, RateLimits(platform))
        guesses = (access.identify(None, f"guess {i}", "one address") for i in range(200))
        refused = await asyncio.gather(*guesses, return_exceptions=True)
        assert {one.problem.status for one in refused if isinstance(one, ProblemError)} == {401, 429}
        assert (await access.identify(None, platform.key("north", "query"), "one address")).fleet == "north"

    asyncio.run(scenario())


def test_known_keys_go_on_working_while_the_key_store_is_away(platform: StandIn, monkeypatch: Any) -> None:
    async def scenario() -> None:
        access = Access(platform, RateLimits(platform))
        await access.identify(None, BOOTSTRAP, "a")
        platform.fail_keys = RayActorError()
        access._fresh_at -= 30
        assert (await access.identify(None, BOOTSTRAP, "a")).fleet == "default"
        access._fresh_at -= 60
        with pytest.raises(RayActorError):
            await access.identify(None, BOOTSTRAP, "a")

    asyncio.run(scenario())


def test_a_key_store_that_hangs_is_one_that_is_away(platform: StandIn) -> None:
    async def scenario() -> None:
        access = Access(platform, RateLimits(platform))
        await access.identify(None, BOOTSTRAP, "a")
        platform.hang_keys, before = True, platform.key_reads
        access._fresh_at -= 30
        async with asyncio.timeout(30):
            for _ in range(100):
                assert (await access.identify(None, BOOTSTRAP, "a")).fleet == "default"
        assert platform.key_reads == before + 1
        access._fresh_at -= 60
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await access.identify(None, BOOTSTRAP, "a")

    asyncio.run(scenario())


def test_a_shard_is_moved_by_the_operator_alone(ask: Any, platform: StandIn) -> None:
    answer = ask("/v1/shards/3/move", BOOTSTRAP, "POST", json={"actor": 1})
    assert (answer.status_code, answer.json()) == (202, {"shard": 3, "held_by": 0, "goes_to": 1})
    check_problem(ask("/v1/shards/3/move", platform.key("north", "admin"), "POST", json={"actor": 1}), 403, "forbidden")
    check_problem(ask("/v1/shards/8/move", BOOTSTRAP, "POST", json={"actor": 1}), 404, "not-found")
    check_problem(ask("/v1/shards/3/move", BOOTSTRAP, "POST", json={"actor": 2}), 404, "not-found")
    check_problem(ask("/v1/shards/3/move", BOOTSTRAP, "POST", json={"actor": -1}), 400, "bad-request")


# Page and description ----------------------------------------------------------------------------


def test_the_page_asks_no_other_host(ask: Any) -> None:
    for path, kind in (("/", "text/html"), ("/page/app.js", "text/javascript"), ("/page/style.css", "text/css")):
        answer = ask(path, "none")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        # The name of the SVG namespace is no address to fetch.
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
        assert " style=" not in answer.text
        assert "innerHTML" not in answer.text
        assert answer.headers["etag"]


def test_the_description_names_the_whole_contract(ask: Any) -> None:
    document = ask("/openapi.json", "none").json()
    named = {f"{method} {path}" for path, methods in document["paths"].items() for method in methods}
    assert named == {
        "post /v1/frames",
        "post /v1/logs",
        "get /v1/vehicles",
        "get /v1/vehicles/{vehicle_id}/latest",
        "get /v1/vehicles/{vehicle_id}/signals/{signal}",
        "get /v1/vehicles/{vehicle_id}/signals",
        "get /v1/vehicles/{vehicle_id}/trips",
        "get /v1/vehicles/{vehicle_id}/geofences",
        "get /v1/vehicles/{vehicle_id}/export",
        "get /v1/fleet/signals/{signal}",
        "get /v1/fleet/summary",
        "get /v1/fleet/geofences",
        "get /v1/storage",
        "get /v1/fleet/positions",
        "get /v1/anomalies",
        "get /v1/ledger",
        "get /v1/ledger/reconciliation",
        "get /v1/vehicles/{vehicle_id}/gaps",
        "delete /v1/vehicles/{vehicle_id}",
        "get /v1/live",
        "get /v1/status",
        "get /v1/dead-letters",
        "delete /v1/dead-letters",
        "get /v1/dead-letters/{letter_id}",
        "delete /v1/dead-letters/{letter_id}",
        "post /v1/dead-letters/replay",
        "post /v1/keys",
        "get /v1/keys",
        "delete /v1/keys/{key_id}",
        "post /v1/keys/{key_id}/rotate",
        "post /v1/shards/{shard}/move",
        "get /v1/fleet/signals/{signal}/history",
        "get /healthz",
        "get /readyz",
    }
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    frames = document["paths"]["/v1/frames"]["post"]
    assert {"202", "400", "401", "403", "413", "415", "429", "503"} <= set(frames["responses"])
    assert len(frames["requestBody"]["content"]) == 3
    references = json.dumps(document).split("#/components/schemas/")[1:]
    assert {text.split('"')[0] for text in references} <= set(document["components"]["schemas"])
    page = ask("/docs", "none")
    assert page.status_code == 200
    assert all(path.split(" ")[1].replace("{", "{") in page.text for path in named)
