"""The OpenAPI document: valid, complete, with examples that are true, and kept by a running app on the real engine."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from clickhouse_process import HostProcess
from serve_joined import Joined
from serve_sockets import served
from serve_stand_in import BOOTSTRAP, StandIn, bearer
from serve_whole_platform import close, hour_before_last, opened

import serve.key_routes
from pipeline.frames.body import ARROW
from serve import problems
from serve.problem_examples import EXAMPLES, REQUEST_ID
from serve.problems import MEDIA_TYPE, Problem
from serve.query import build_query_app
from tests.fuzz.described import Described

OPEN = {"healthz", "readyz"}
UNLIMITED = {"rate_limits": {"unauthenticated": ""}}
BEGIN = hour_before_last()


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    stand_in = StandIn(tmp_path_factory.mktemp("stand-in"))
    found: dict[str, Any] = build_query_app(stand_in).openapi()
    stand_in.store.close()
    return found


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {what["operationId"]: what for ways in document["paths"].values() for what in ways.values()}


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a part points to, or itself."""
    while "$ref" in part:
        found = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def examples(document: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    """The examples of a media type, a parameter or a header; of its schema where it has none itself."""
    if "example" in content:
        return [content["example"]]
    if "examples" in content:
        return [resolved(document, one)["value"] for one in content["examples"].values()]
    return list(content["schema"].get("examples", []))


def checked(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    """By the schema of the specification, which Schemathesis brings, and each schema in it by JSON Schema's."""
    from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split('"#/components/')[1:]}
    there = {f"{kind}/{name}" for kind in document["components"] for name in document["components"][kind]}
    assert named <= there
    assert there - named - {"securitySchemes/bearer", "securitySchemes/apiKey", "responses/MethodNotAllowed"} == set()


def test_every_operation_says_all_there_is_to_say(document: dict[str, Any], operations: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    assert "stream" in tags
    for name, what in operations.items():
        assert len(what["summary"]) > 3, name
        assert len(what["description"]) > 20, name
        assert set(what["tags"]) <= tags, name
        assert all(len(scopes) == 1 for one in what.get("security", []) for scopes in one.values()), name
        assert ("security" in what) == (name not in OPEN), name
        for parameter in [resolved(document, one) for one in what["parameters"]]:
            assert parameter["description"], (name, parameter["name"])
            assert examples(document, parameter), (name, parameter["name"])
        for content in what.get("requestBody", {}).get("content", {}).values():
            assert examples(document, content), name
        usual = {"500", "503"} if name in OPEN else {"401", "403", "429", "500", "503"}
        assert usual <= set(what["responses"]), name
        assert "422" not in what["responses"], name
        for status, response in what["responses"].items():
            assert response["description"], (name, status)
            assert "X-Request-Id" in response["headers"], (name, status)
            assert ("Retry-After" in response["headers"]) == (status in ("429", "503")), (name, status)
            assert all(examples(document, content) for content in response["content"].values()), (name, status)
            assert (MEDIA_TYPE in response["content"]) == (status >= "400"), (name, status)
            if status in ("200", "201", "202", "429") and name not in OPEN:
                assert {"RateLimit", "RateLimit-Policy"} <= set(response["headers"]), (name, status)
    assert document["components"]["examples"]["method-not-allowed"]["value"]["status"] == 405


def test_every_example_is_one_of_its_schema(document: dict[str, Any], operations: dict[str, Any]) -> None:
    n = 0
    for what in operations.values():
        contents = list(what.get("requestBody", {}).get("content", {}).values())
        contents += [content for response in what["responses"].values() for content in response["content"].values()]
        contents += [resolved(document, parameter) for parameter in what["parameters"]]
        for content in contents:
            for example in examples(document, content):
                checked(document, content["schema"], example)
                n += 1
    for header in document["components"]["headers"].values():
        checked(document, header["schema"], header["example"])
    assert n > 200


def test_every_problem_has_an_example_that_is_real(document: dict[str, Any], operations: dict[str, Any]) -> None:
    made = {
        name
        for name, function in inspect.getmembers(problems, inspect.isfunction)
        if function.__module__ == problems.__name__ and function.__annotations__.get("return") == "Problem"
    }
    kinds = {
        call.args[0].value
        for call in ast.walk(ast.parse(Path(problems.__file__).read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Problem"
    }
    assert len(made) >= len(kinds)
    assert kinds == {problem.kind for problem in EXAMPLES.values()}
    for name, problem in EXAMPLES.items():
        shown = document["components"]["examples"][name]["value"]
        assert shown == json.loads(problem.body(f"urn:canfleet:request:{REQUEST_ID}"))
        for what in operations.values():
            for status, response in what["responses"].items():
                if name in response["content"].get(MEDIA_TYPE, {}).get("examples", {}):
                    assert int(status) == problem.status
                    assert set(problem.headers) <= set(response["headers"])


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00", "é"])
def test_a_problem_can_quote_what_is_no_unicode(text: str) -> None:
    problem = Problem("bad-request", 400, "No", text, extra={"reasons": [text]})
    told = json.loads(problem.body("urn:x"))
    assert set(told) == {"type", "title", "status", "detail", "instance", "reasons"}
    assert told["detail"] == text.encode("utf-8", "replace").decode() == told["reasons"][0]


@pytest.fixture(scope="module")
def url(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(serve.key_routes, "WAIT_S", 0.0)
        platform = opened(host, tmp_path_factory.mktemp("described"), "db_described", **UNLIMITED)
        stack.callback(close, platform)
        frame = {"vehicle_id": "truck-7", "timestamp": BEGIN, "arbitration_id": 256, "data": "00" * 8}
        platform.send("default", json.dumps(frame).encode() + b"\nno frame", BEGIN + 60_000_000, "r")
        platform.settle()
        yield stack.enter_context(served(Joined(platform)))


def test_every_example_of_a_body_is_taken(url: str, operations: dict[str, Any], document: dict[str, Any]) -> None:
    paths = {what["operationId"]: (way, path) for path, ways in document["paths"].items() for way, what in ways.items()}
    sent = 0
    for name, what in operations.items():
        method, path = paths[name]
        if "{" in path:
            continue
        query = {one["name"]: one["example"] for one in what["parameters"] if one.get("required")}
        for media_type, content in what.get("requestBody", {}).get("content", {}).items():
            for example in examples(document, content):
                body = example if isinstance(example, str) else json.dumps(example)
                raw = base64.b64decode(body) if media_type == ARROW else body.encode()
                answer = httpx.request(
                    method,
                    url + path,
                    params=query,
                    content=raw,
                    headers=bearer(BOOTSTRAP) | {"Content-Type": media_type},
                )
                assert answer.status_code in (200, 201, 202), (name, answer.text)
                assert answer.json().get("dead_lettered", 0) == 0, answer.text
                response = what["responses"][str(answer.status_code)]
                checked(document, response["content"]["application/json"]["schema"], answer.json())
                sent += 1
    assert sent >= 9


def test_the_real_engine_keeps_the_description(url: str) -> None:
    described = Described(url, BOOTSTRAP, examples=2)
    for operation in described.operations:
        described.try_operation(operation)


def test_a_slash_too_many_leads_nowhere(url: str) -> None:
    """It was redirected to whatever host the request named."""
    answer = httpx.get(f"{url}/v1/vehicles/", headers=bearer(BOOTSTRAP) | {"Host": "elsewhere.example"}, timeout=30)
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_a_method_that_a_path_lacks_is_named_in_allow(url: str, document: dict[str, Any]) -> None:
    for path, ways in document["paths"].items():
        answer = httpx.put(url + re.sub("[{}]", "", path), headers=bearer(BOOTSTRAP))
        assert answer.status_code == 405, path
        # The id in `/v1/dead-letters/{letter_id}` may be "replay".
        others = {"GET", "DELETE"} if path == "/v1/dead-letters/replay" else set()
        assert {way.upper() for way in ways} | others == set(answer.headers["allow"].split(", ")), path
        assert answer.json()["type"] == "urn:canfleet:problem:method-not-allowed"
