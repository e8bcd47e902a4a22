"""Dead letters over HTTP, with a real shard and the real engine behind it: list, replay once, mend, purge."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serve_shard_platform import ShardPlatform
from serve_stand_in import bearer, check_problem, client

from pipeline.clickhouse.dead_letters import DeadLetters
from pipeline.config import DeadLetterSettings
from pipeline.errors import Overloaded, WarehouseAway
from serve.gateway import Door, FramesEndpoint
from serve.query import build_query_app

HOUR_US = 3_600_000_000
NDJSON = "application/x-ndjson"


def frame(sequence: int, **changed: Any) -> dict[str, Any]:
    made = {"vehicle_id": "v1", "timestamp": time.time_ns() // 1000, "arbitration_id": 256, "data": "00ff"}
    return made | {"session": 1, "sequence": sequence} | changed


def early(sequence: int) -> dict[str, Any]:
    """A frame that is refused until the platform accepts timestamps of two days ahead."""
    return frame(sequence, timestamp=time.time_ns() // 1000 + 48 * HOUR_US)


class Api:
    """Both applications over one platform, with an admin key of a fleet."""

    def __init__(self, platform: ShardPlatform, fleet: str) -> None:
        self.platform = platform
        self.fleet = fleet
        self.key = platform.key(fleet, "ingest", "admin")

    def send(self, *frames: dict[str, Any], key: str | None = None) -> httpx.Response:
        body = b"".join(json.dumps(one).encode() + b"\n" for one in frames)
        headers = bearer(key or self.key) | {"Content-Type": NDJSON}
        return self._call(FramesEndpoint(Door(self.platform)), "POST", "/v1/frames", content=body, headers=headers)

    def ask(self, method: str, path: str = "", key: str | None = None, **request: Any) -> httpx.Response:
        headers = bearer(key or self.key)
        return self._call(build_query_app(self.platform), method, f"/v1/dead-letters{path}", headers=headers, **request)

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = self.ask("GET", params=query).json()["dead_letters"]
        return letters

    def replay(self, **body: Any) -> dict[str, Any]:
        answer = self.ask("POST", "/replay", json=body)
        assert answer.status_code == 200, answer.text
        done: dict[str, Any] = answer.json()
        return done

    def accept_the_future(self) -> None:
        """What makes `early` frames good: another configuration."""
        limits = self.platform.config.limits.model_copy(update={"max_future_s": 10 * 86_400.0})
        self.platform.config = self.platform.config.model_copy(update={"limits": limits})

    @staticmethod
    def _call(app: Any, method: str, path: str, **request: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with client(app) as http:
                return await http.request(method, path, **request)

        return asyncio.run(call())


@pytest.fixture
def platform(shard_platform: ShardPlatform) -> Iterator[ShardPlatform]:
    config = shard_platform.config
    yield shard_platform
    shard_platform.config = config
    shard_platform.fail_submit.clear()


@pytest.fixture
def api(platform: ShardPlatform, request: pytest.FixtureRequest) -> Api:
    return Api(platform, "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:])


def test_letters_are_listed_with_reason_and_payload(api: Api, platform: ShardPlatform) -> None:
    bad = [frame(1, vehicle_id=""), frame(2, data="0"), frame(3, data="1")]
    assert api.send(frame(0), *bad).json()["dead_lettered"] == 3
    platform.settle()
    answer = api.ask("GET").json()
    assert answer["next"] is None
    assert answer["reasons"] == [
        {"stage": "parse", "reason": "data_not_hexadecimal", "count": 2},
        {"stage": "validate", "reason": "vehicle_id_empty", "count": 1},
    ]
    assert sorted(json.loads(letter["payload"])["sequence"] for letter in answer["dead_letters"]) == [1, 2, 3]
    [empty] = api.listed(reason="vehicle_id_empty")
    assert json.loads(empty["payload"]) == bad[0]
    assert empty["meaning"] == "vehicle_id has no character"
    assert api.ask("GET", f"/{empty['id']}").json() == empty
    assert len(api.listed(stage="parse")) == 2
    assert api.listed(to=empty["received_at"]) == []
    assert len(api.listed(**{"from": empty["received_at"]})) == 3
    first = api.ask("GET", params={"limit": 2}).json()
    rest = api.ask("GET", params={"limit": 2, "cursor": first["next"]}).json()
    assert first["dead_letters"] + rest["dead_letters"] == answer["dead_letters"]
    # Stored by now, the three are counted once: in ClickHouse, and not in the journal any more.
    assert asyncio.run(platform.dead_letters(api.fleet)) == (3, 0)


def test_a_fleet_and_a_key_without_admin_see_nothing(api: Api, platform: ShardPlatform) -> None:
    api.send(frame(1, vehicle_id=""))
    platform.settle()
    [letter] = api.listed()
    south = platform.key("south", "admin")
    assert api.ask("GET", key=south).json() == {"dead_letters": [], "reasons": [], "next": None}
    check_problem(api.ask("GET", f"/{letter['id']}", key=south), 404, "not-found")
    check_problem(api.ask("DELETE", f"/{letter['id']}", key=south), 404, "not-found")
    assert api.ask("DELETE", key=south, params={"all": True}).json() == {"purged": 0}
    foreign = api.ask("POST", "/replay", key=south, json={"ids": [letter["id"]]}).json()
    assert (foreign["replayed"], foreign["unknown"]) == (0, [letter["id"]])
    weak = platform.key(api.fleet, "ingest", "query")
    calls = [("GET", ""), ("GET", "/x"), ("DELETE", ""), ("DELETE", "/x")]
    answers = [api.ask(*call, key=weak) for call in calls] + [api.ask("POST", "/replay", key=weak, json={"ids": ["x"]})]
    for answer in answers:
        check_problem(answer, 403, "forbidden")
    assert api.listed() == [letter]


def test_replay_stores_what_is_good_by_now_once(api: Api, platform: ShardPlatform) -> None:
    api.send(*(early(i) for i in range(5)), frame(9, data="0"))
    platform.settle()
    before = api.listed()
    again = api.replay(filter={})
    assert (again["replayed"], again["accepted"], len(again["failed"])) == (0, 0, 6)
    platform.settle()
    assert api.listed() == before, "a letter that fails again stays as it is, and makes no other"
    api.accept_the_future()
    done = api.replay(filter={"reason": "timestamp_in_future"})
    assert (done["replayed"], done["accepted"], done["duplicates"], done["failed"]) == (5, 5, 0, [])
    platform.settle()
    assert len(platform.stored(api.fleet)) == 5
    [left] = api.listed()
    assert left["reason"] == "data_not_hexadecimal"
    ids = [letter["id"] for letter in before if letter["id"] != left["id"]]
    assert api.replay(ids=ids)["unknown"] == sorted(ids)
    gone = check_problem(api.ask("GET", f"/{ids[0]}"), 404, "not-found")
    assert "replayed" in gone["detail"]


def test_a_frame_that_clickhouse_refused_is_stored_when_it_is_replayed(api: Api, platform: ShardPlatform) -> None:
    platform.warehouse.command("ALTER TABLE frames ADD CONSTRAINT no_poison CHECK arbitration_id != 801")
    try:
        assert api.send(frame(1), frame(2, arbitration_id=801)).json()["accepted"] == 2
        platform.settle()
    finally:
        platform.warehouse.command("ALTER TABLE frames DROP CONSTRAINT no_poison")
    assert [row["sequence"] for row in platform.stored(api.fleet)] == [1]
    [letter] = api.listed()
    assert (letter["stage"], letter["reason"]) == ("store", "refused_by_clickhouse")
    assert api.replay(filter={})["replayed"] == 1
    platform.settle()
    assert [row["sequence"] for row in platform.stored(api.fleet)] == [1, 2]
    assert api.listed() == []


def test_a_replay_cut_before_the_mark_stores_nothing_twice(
    api: Api, platform: ShardPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    uncounted = {"session": None, "sequence": None}
    api.send(*(early(i) for i in range(3)), *(early(0) | uncounted | {"data": f"{i:02x}"} for i in range(2)))
    platform.settle()
    api.accept_the_future()

    def cut(*_: object) -> None:
        raise WarehouseAway("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(DeadLetters, "remove", cut)
        check_problem(api.ask("POST", "/replay", json={"filter": {}}), 503, "unavailable")
    platform.settle()
    assert len(platform.stored(api.fleet)) == 5
    assert len(api.listed()) == 5
    done = api.replay(filter={})
    assert (done["replayed"], done["accepted"], done["duplicates"]) == (5, 0, 5)
    platform.settle()
    assert len(platform.stored(api.fleet)) == 5
    assert api.listed() == []


def test_a_replay_that_the_shards_refuse_marks_nothing(api: Api, platform: ShardPlatform) -> None:
    api.send(early(1))
    platform.settle()
    api.accept_the_future()
    platform.fail_submit[0] = Overloaded("full")
    check_problem(api.ask("POST", "/replay", json={"filter": {}}), 503, "overloaded")
    assert len(api.listed()) == 1
    del platform.fail_submit[0]
    assert api.replay(filter={})["accepted"] == 1


def test_one_letter_is_mended(api: Api, platform: ShardPlatform) -> None:
    api.send(frame(1, data="0"))
    platform.settle()
    [letter] = api.listed()
    still = api.replay(ids=[letter["id"]], payload=json.dumps(frame(1, data="xy")))
    assert [(one["id"], one["reason"]) for one in still["failed"]] == [(letter["id"], "data_not_hexadecimal")]
    assert api.listed() == [letter]
    done = api.replay(ids=[letter["id"]], payload=json.dumps(frame(1, data="0a"), indent=1))
    assert (done["replayed"], done["accepted"]) == (1, 1)
    platform.settle()
    assert platform.stored(api.fleet) == [{"sequence": 1, "data": "0A"}]


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
def test_a_large_replay_goes_page_by_page_past_what_fails(api: Api, platform: ShardPlatform, limit: int) -> None:
    api.send(*(early(i) if i % 2 else frame(i, data="0") for i in range(11)))
    platform.settle()
    ids = [letter["id"] for letter in api.listed()]
    unknown = f"{ids[5][:17]}{'0' * 16}"
    api.accept_the_future()
    accepted, failed, missing, cursor = 0, [], [], None
    while True:
        done = api.replay(ids=[*ids, unknown], limit=limit, cursor=cursor)
        accepted, cursor = accepted + done["accepted"], done["next"]
        failed += done["failed"]
        missing += done["unknown"]
        if cursor is None:
            break
    assert (accepted, len(failed), missing) == (5, 6, [unknown])
    assert {failure["id"] for failure in failed} == {letter["id"] for letter in api.listed()}


def test_purge_by_id_and_by_filter(api: Api, platform: ShardPlatform) -> None:
    api.send(*(frame(i, data="0") for i in range(4)), frame(5, vehicle_id=""))
    platform.settle()
    [empty] = api.listed(reason="vehicle_id_empty")
    assert api.ask("DELETE", f"/{empty['id']}").json() == {"purged": 1}
    assert "purged" in check_problem(api.ask("DELETE", f"/{empty['id']}"), 404, "not-found")["detail"]
    check_problem(api.ask("DELETE"), 400, "bad-request")
    assert api.ask("DELETE", params={"reason": "vehicle_id_empty"}).json() == {"purged": 0}
    assert api.ask("DELETE", params={"to": empty["received_at"]}).json() == {"purged": 0}
    assert api.ask("DELETE", params={"all": True}).json() == {"purged": 4}
    assert api.listed() == []


def test_senseless_requests_are_refused(api: Api) -> None:
    some = "1760000000000000-0123456789abcdef"
    bodies: list[Any] = [{}, {"ids": []}, {"ids": ["x"]}, {"ids": [some], "filter": {}}, {"filter": {"vehicle": "v"}}]
    bodies += [{"filter": {}, "payload": "{}"}, {"ids": [some, f"{some[:-1]}0"], "payload": "{}"}]
    bodies += [{"filter": {"from": "yesterday"}}, {"filter": {}, "cursor": "x"}, {"filter": {}, "limit": 0}]
    for body in bodies:
        check_problem(api.ask("POST", "/replay", json=body), 400, "bad-request")
    for query in ({"from": 2, "to": 1}, {"to": "soon"}, {"limit": 0}, {"cursor": "x"}):
        check_problem(api.ask("GET", params=query), 400, "bad-request")
    check_problem(api.ask("GET", "/x"), 404, "not-found")


def test_a_full_fleet_refuses_bad_rows_until_there_is_room(api: Api, platform: ShardPlatform) -> None:
    platform.config = platform.config.model_copy(update={"dead_letters": DeadLetterSettings(max_rows=3)})
    assert api.send(*(frame(i, data="0") for i in range(3))).status_code == 202
    # The three are in the journal alone: they count all the same.
    while platform.shard.process_next(wait=False):
        pass
    refused = api.send(frame(7), frame(8, data="0"))
    problem = check_problem(refused, 503, "dead-letters-full")
    assert int(refused.headers["retry-after"]) >= 1
    assert "canfleet dlq replay" in problem["detail"]
    assert "canfleet dlq purge" in problem["detail"]
    assert api.send(frame(7)).json()["accepted"] == 1, "nothing of the refused request was accepted, good rows go on"
    assert api.send(frame(9, data="0"), key=platform.key("full-elsewhere", "ingest")).status_code == 202
    platform.settle()
    assert api.send(frame(8, data="0")).status_code == 503
    assert api.ask("DELETE", params={"all": True}).json() == {"purged": 3}
    assert api.send(frame(8, data="0")).status_code == 202
