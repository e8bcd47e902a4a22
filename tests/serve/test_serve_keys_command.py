"""`canfleet keys` against the real HTTP application over a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_command import Done, run_canfleet, served
from serve_stand_in import BOOTSTRAP, StandIn

from serve.query import build_query_app


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with served(build_query_app(StandIn(tmp_path))) as base:
        yield base


def run(*arguments: str, key: str = BOOTSTRAP) -> Done:
    return run_canfleet("keys", *arguments, key=key)


def test_create_list_rotate_revoke(url: str) -> None:
    made = run("create", "--fleet", "north", "--scope", "query", "--scope", "ingest", "--url", url, "--json")
    assert made.exit_code == 0, made.stderr
    key = json.loads(made.stdout)
    assert set(key) == {"id", "key", "fleet", "scopes"}
    assert (key["fleet"], key["scopes"]) == ("north", ["ingest", "query"])
    assert run("create", "--fleet", "south", "--url", url).stdout.startswith("cf_")
    rotated = run("rotate", key["id"], "--url", url, "--json")
    assert json.loads(rotated.stdout)["key"] != key["key"]
    assert run("revoke", key["id"], "--url", url).exit_code == 0
    listed = json.loads(run("list", "--fleet", "north", "--url", url, "--json").stdout)
    assert [(one["id"], one["revoked_at"] is None) for one in listed] == [(key["id"], False)]
    table = run("list", "--url", url).stdout
    assert "south" in table
    assert "revoked" in table


def test_a_key_for_one_vehicle_that_ends(url: str) -> None:
    bound = run("create", "--fleet", "north", "--vehicle", "truck-7", "--valid-for", "90d", "--url", url, "--json")
    assert json.loads(bound.stdout)["scopes"] == ["ingest"]
    [listed] = json.loads(run("list", "--fleet", "north", "--url", url, "--json").stdout)
    assert listed["vehicles"] == ["truck-7"]
    days = (listed["expires_at"] - listed["created"]) / 86_400e6
    assert 89.99 < days < 90.01
    table = run("list", "--fleet", "north", "--url", url).stdout
    assert "ingest of truck-7" in " ".join(table.split())
    assert "valid until" in " ".join(table.split())
    odd = run("create", "--fleet", "north", "--valid-for", "soon", "--url", url)
    assert odd.exit_code == 2
    assert "as in 90d" in odd.stderr


def test_every_failure_is_one_line_and_a_status(url: str) -> None:
    for result in (
        run("list", "--url", "http://127.0.0.1:1"),
        run("list", "--url", url, key="wrong"),
        run("create", "--fleet", "north", "--scope", "root", "--url", url),
        run("revoke", "unknown", "--url", url),
        run("create", "--fleet", "north", "--scope", "query", "--vehicle", "truck-7", "--url", url),
    ):
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith("canfleet: ")
        assert result.stderr.count("\n") == 1
