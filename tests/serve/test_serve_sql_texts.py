"""No text of a caller becomes SQL: by what the code looks like, and by what hostile texts do at every parameter."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from clickhouse_process import HostProcess
from serve_joined import Joined
from serve_sockets import served
from serve_stand_in import bearer
from serve_whole_platform import WholePlatform, close, hour_before_last, opened

import serve.log_process
from tests.fuzz.front_door import read_here

ROOT = Path(__file__).parents[2]
BEGIN = hour_before_last()
HOSTILE = [
    "'",
    "''",
    '"',
    "`",
    "\\",
    "\\'",
    "a\\",
    "{x:String}",
    "{fleet:String}",
    "{table:Identifier}",
    "' OR 1=1 --",
    "'; DROP TABLE frames; --",
    "%",
    "_",
    "/*",
    "a, b",
    "[']",
    "\u2028",
    "NULL",
]
CONTROL = ["a\nb", "a\tb", "\\N", "a\x00b", "\x7f"]
"""No vehicle has such an id, and a query may ask for one."""


@pytest.fixture(scope="module")
def platform(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholePlatform]:
    found = opened(host, tmp_path_factory.mktemp("texts"), "db_texts", rate_limits={"unauthenticated": ""})
    yield found
    close(found)


@pytest.fixture(scope="module")
def http(platform: WholePlatform) -> Iterator[httpx.Client]:
    with (
        pytest.MonkeyPatch.context() as patch,
        served(Joined(platform)) as url,
        httpx.Client(base_url=url, timeout=30) as opened_client,
    ):
        patch.setattr(serve.log_process, "read_apart", read_here)
        yield opened_client


def row(vehicle: str, second: int = 0, speed: int = 100) -> dict[str, Any]:
    data = speed.to_bytes(2, "little").hex() + "000000000000"
    return {"vehicle_id": vehicle, "timestamp": BEGIN + second * 1_000_000, "arbitration_id": 256, "data": data}


@pytest.mark.parametrize("fleet", ["o'brien\\", "{fleet:String}", '"; --'])
def test_what_is_called_like_sql_is_stored_and_found_by_its_name(
    platform: WholePlatform, http: httpx.Client, fleet: str
) -> None:
    key = {scope: bearer(platform.key(fleet, scope)) for scope in ("ingest", "query", "admin")}
    rows = [row(vehicle, second, 9_000 if second == 3 else 100) for vehicle in HOSTILE for second in range(5)]
    answer = http.post("/v1/frames", json=[*rows, {"vehicle_id": "'"}], headers=key["ingest"])
    assert answer.json() == {"received": len(rows) + 1, "accepted": len(rows), "duplicates": 0, "dead_lettered": 1}
    platform.settle()
    listed = http.get("/v1/vehicles", headers=key["query"]).json()["vehicles"]
    assert sorted(one["vehicle_id"] for one in listed) == sorted(HOSTILE)
    for vehicle in HOSTILE:
        where = f"/v1/vehicles/{quote(vehicle, safe='')}"
        if "/" not in vehicle:
            assert http.get(f"{where}/latest", headers=key["query"]).json()["vehicle_id"] == vehicle
            found = http.get(f"{where}/signals/EngineSpeed", params={"from": BEGIN}, headers=key["query"]).json()
            assert len(found["points"]) == 5, (vehicle, found)
            for step in ("1s", "1m"):
                asked = {"from": BEGIN, "step": step}
                found = http.get(f"{where}/signals/EngineSpeed", params=asked, headers=key["query"]).json()
                assert sum(point["count"] for point in found["points"]) == 5, (vehicle, step)
        found = http.get("/v1/anomalies", params={"vehicle_id": vehicle}, headers=key["query"]).json()
        assert {one["vehicle_id"] for one in found["anomalies"]} == {vehicle}
    assert http.get("/v1/ledger/reconciliation", headers=key["query"]).json()["agrees"] is True
    [letter] = http.get("/v1/dead-letters", headers=key["admin"]).json()["dead_letters"]
    assert http.get(f"/v1/dead-letters/{letter['id']}", headers=key["admin"]).json()["payload"] == letter["payload"]


def test_no_text_at_any_parameter_does_more_than_a_plain_one(platform: WholePlatform, http: httpx.Client) -> None:
    """Every text parameter and every text in a body of the description: the answer is that to a plain text."""
    keys = bearer(platform.key("texts", "query", "admin"))
    platform.send("texts", json.dumps(row("plain")).encode() + b"\n{", BEGIN + 60_000_000, "r")
    platform.settle()
    tried = 0
    for path, ways in http.get("/openapi.json").json()["paths"].items():
        for method, operation in ways.items():
            if operation["operationId"] in ("live_feed", "send_frames", "send_log", "purge_dead_letters"):
                continue
            for send in _senders(http, method, path, operation, keys):
                expected = None
                for text in ("unheard-of", *HOSTILE, *CONTROL):
                    answer = send(text)
                    told = answer.status_code, _without(answer.text, text)
                    expected = expected or told
                    # Some are refused as what they are: no moment, no id, too long, no path.
                    assert answer.status_code in (expected[0], 400, 404), (path, text, answer.text)
                    # Other files hold the time at which they were made.
                    if answer.status_code == expected[0] == 200 and "json" in answer.headers["content-type"]:
                        assert told == expected, (path, text)
                    tried += 1
    assert tried > 500
    found = platform.warehouse.rows("SELECT count() AS n FROM frames WHERE fleet = 'texts'")
    assert found == [{"n": 1}]
    assert len(http.get("/v1/dead-letters", headers=keys).json()["dead_letters"]) == 1


_BODIES: dict[str, list[dict[str, Any]]] = {
    "replay_dead_letters": [
        {"ids": ["@"]},
        {"filter": {"reason": "@"}},
        {"filter": {"stage": "@"}},
        {"filter": {"from": "@"}},
        {"filter": {}, "cursor": "@"},
    ],
    "create_key": [
        {"fleet": "@", "scopes": ["query"]},
        {"fleet": "texts", "scopes": ["ingest"], "vehicles": ["@"]},
    ],
}


def _senders(http: httpx.Client, method: str, path: str, operation: dict[str, Any], headers: dict[str, str]) -> Any:
    """For each place of a text, a function that sends a request with a text there."""
    parameters = [one for one in operation["parameters"] if "$ref" not in one]
    names = re.findall(r"{(\w+)}", path)
    usual = {name: "plain" for name in names}

    def filled(**changed: str) -> str:
        texts = {name: quote(text, safe="") for name, text in (usual | changed).items()}
        return path.format(**texts)

    for name in names:
        yield lambda text, name=name: http.request(method, filled(**{name: text}), headers=headers)
    for parameter in parameters:
        name, place = parameter["name"], parameter["in"]
        if place == "query":
            yield lambda text, name=name: http.request(method, filled(), params={name: text}, headers=headers)
    for body in _BODIES.get(operation["operationId"], []):
        whole = json.dumps(body)
        yield lambda text, whole=whole: http.request(
            method,
            filled(),
            content=whole.replace('"@"', json.dumps(text)),
            headers=headers | {"Content-Type": "application/json"},
        )


def _without(answer: str, text: str) -> str:
    """An answer less the text itself, and less what differs from one to the next."""
    answer = answer.replace(json.dumps(text, ensure_ascii=False), '"@"')
    return re.sub(r'"(instance|from|to|detected_at|frames_per_second|last_used)":("[^"]*"|[\d.]+|null)', "", answer)


_SQL = re.compile(r"\b(SELECT|INSERT INTO|DELETE FROM|ALTER TABLE|CREATE|DROP|WHERE|FROM)\b")
ALL_OF_IT = {"any"}
_NAMES_OF_OURS = {
    # Names of tables and columns that stand in the code, and whole conditions that are constants.
    "pipeline/shard/refusal.py": {"twin", "table"},
    "pipeline/clickhouse/queries.py": {"table"},
    "pipeline/clickhouse/forget.py": {"scratch", "what", "table", "row['table']"},
    "pipeline/clickhouse/migrate.py": {"database", "warehouse.settings.database"},
    # Days and fleets of the configuration, the fleets quoted: a TTL takes no parameters.
    "pipeline/clickhouse/retention.py": {"table", "wanted", "_after(days, unit)", "_quoted(fleet)"},
    "pipeline/keys/store.py": {"where", "marks"},
    # What is printed for a cluster: parts of the migrations, and two names of the configuration that must be names.
    "pipeline/clickhouse/cluster.py": ALL_OF_IT,
    # Tables, columns and types of a migration that is about to run.
    "pipeline/clickhouse/lossy.py": ALL_OF_IT,
}


def test_sql_is_put_together_from_constants_alone() -> None:
    """Each f-string that is SQL holds names in capitals, constants of its module, numbers, or what is listed above."""
    looked_at = 0
    for folder in ("pipeline", "serve", "actors"):
        for file in (ROOT / folder).rglob("*.py"):
            name = str(file.relative_to(ROOT))
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.JoinedStr):
                    continue
                text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
                if not _SQL.search(text) or name.startswith("actors/clickhouse_host"):
                    continue
                looked_at += 1
                for part in node.values:
                    if isinstance(part, ast.FormattedValue):
                        given = ast.unparse(part.value)
                        ours = _NAMES_OF_OURS.get(name, set())
                        constant = re.fullmatch(r"_?[A-Z_]+|int\(.*\)", given) is not None
                        assert constant or given in ours or ours is ALL_OF_IT, (name, given)
    assert looked_at > 10
